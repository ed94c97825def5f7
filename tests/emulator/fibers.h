// The words of CUDA that the kernel uses, for a C++ compiler: every thread of a block is a fiber, which runs
// alone until it waits for others. In which order they run is chosen: where a barrier is missing, a result
// depends on it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <math.h>
#include <memory>
#include <random>
#include <type_traits>
#include <vector>

#define MEMNETS_ALWAYS __attribute__((always_inline))
#define MEMNETS_INLINE inline
#define MEMNETS_SIZED inline
#define MEMNETS_UNROLL

using DeviceSize = int64_t;  // as the sizes of a Problem, which are not known here when it is compiled

// Compiled with -fsanitize=thread, each fiber is a thread to the sanitizer, which only barriers order:
// shuffles promise nothing of memory. What two lanes do in no order, of which one writes, is a race.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define MEMNETS_UNSEEN __attribute__((noinline, no_sanitize("thread")))
#else
#define MEMNETS_UNSEEN
#endif

struct Index {
  int x, y;
};

namespace emulator {

inline Index block_of_grid{}, block_size{32, 1};
inline int thread = 0;  // of the block
MEMNETS_UNSEEN inline Index current(const Index& one) { return one; }
MEMNETS_UNSEEN inline Index place() { return {thread % block_size.x, thread / block_size.x}; }

#if defined(__SANITIZE_THREAD__)
inline void* watched() { return __tsan_create_fiber(0); }
inline void watch(void* fiber) { __tsan_switch_to_fiber(fiber, __tsan_switch_to_fiber_no_sync); }
inline void forget(void* fiber) { __tsan_destroy_fiber(fiber); }
inline void* this_one() { return __tsan_get_current_fiber(); }
inline void release_to(void* meeting) { __tsan_release(meeting); }
inline void acquire_from(void* meeting) { __tsan_acquire(meeting); }
#else
inline void* watched() { return nullptr; }
inline void watch(void*) {}
inline void forget(void*) {}
inline void* this_one() { return nullptr; }
inline void release_to(void*) {}
inline void acquire_from(void*) {}
#endif

enum class Wait { warp, numbered, block, no, ended };  // for whom: the first three can be met
enum Order { ascending, descending };  // or the seed of a shuffle at every turn

extern "C" void memnets_switch(void** leave, void* enter);
// Saves the registers that a call must leave as they were, and goes on with another stack.
asm(R"(
.text
.hidden memnets_switch
.type memnets_switch, @function
memnets_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size memnets_switch, . - memnets_switch
)");

struct Fiber {
  std::unique_ptr<char[]> memory;
  void* stack = nullptr;
  void* watched = nullptr;
  Wait wait = Wait::no;
  int number = 0, awaited = 0;  // of the numbered barrier where it waits
  bool exchanges = false, meetings[3] = {};  // which of two comes next
};

struct Block {
  std::vector<Fiber> owned;
  Fiber* fibers = nullptr;  // of `owned`, whose operator[] can be a function that the sanitizer watches
  std::function<void()> work;
  void *scheduler = nullptr, *watched = this_one();
  uint64_t exchanged[2][1024];
  // What those who wait for each other have in common, and what they have the next time: some may be
  // there before others have left.
  char meetings[2][3][32];
  std::vector<unsigned char> shared;  // with a line after it that nobody may write to
};
inline Block* block = nullptr;
constexpr size_t line = 256;
constexpr unsigned char nan_byte = 0xff;  // numbers of these alone are NaN

// How often the first thread of a block has exchanged a number, met its warp, been at numbered barriers,
// and met its block.
struct Counts {
  int64_t exchanges, meetings[3];
};
inline Counts counts{};

MEMNETS_UNSEEN inline void yield(Wait wait) {
  Fiber& fiber = block->fibers[thread];
  fiber.wait = wait;
  watch(block->watched);
  memnets_switch(&fiber.stack, block->scheduler);
}

MEMNETS_UNSEEN inline void meet(Wait wait, int number = 0, int awaited = 0) {
  Fiber& fiber = block->fibers[thread];
  const int kind = static_cast<int>(wait);
  const bool next = fiber.meetings[kind] ^= true;
  fiber.number = number;
  fiber.awaited = awaited;
  if (thread == 0) ++counts.meetings[kind];
  void* meeting = &block->meetings[next][kind][number];
  release_to(meeting);
  yield(wait);
  acquire_from(meeting);
}

MEMNETS_UNSEEN inline void enter() {
  acquire_from(block);
  block->work();
  release_to(block);
  yield(Wait::ended);
}

// Those of a group that wait go on when all of it are there.
MEMNETS_UNSEEN inline void release(Fiber* fibers, size_t first, size_t end, Wait kind) {
  for (size_t i = first; i < end; ++i)
    if (fibers[i].wait != kind) return;
  for (size_t i = first; i < end; ++i) fibers[i].wait = Wait::no;
}

// Where as many wait at a numbered barrier as it awaits, they go on.
MEMNETS_UNSEEN inline void release_numbered(Fiber* fibers, size_t count) {
  int there[32] = {};
  for (size_t i = 0; i < count; ++i)
    if (fibers[i].wait == Wait::numbered) ++there[fibers[i].number];
  for (size_t i = 0; i < count; ++i)
    if (fibers[i].wait == Wait::numbered && there[fibers[i].number] == fibers[i].awaited)
      fibers[i].wait = Wait::no;
}

inline void begin(Fiber& fiber) {
  constexpr size_t size = 256 << 10, saved = 6;
  if (!fiber.memory) fiber.memory.reset(new char[size]);
  const uintptr_t top = reinterpret_cast<uintptr_t>(fiber.memory.get() + size) & ~uintptr_t(63);
  void** stack = reinterpret_cast<void**>(top) - 1;  // as a call leaves it: 8 bytes off a multiple of 16
  *--stack = reinterpret_cast<void*>(&enter);
  for (size_t i = 0; i < saved; ++i) *--stack = nullptr;
  fiber.stack = stack;
  if (!fiber.watched) fiber.watched = watched();
  fiber.wait = Wait::no;
  fiber.exchanges = false;
  std::fill(std::begin(fiber.meetings), std::end(fiber.meetings), false);
}

MEMNETS_UNSEEN inline void run_turn(Block& running, const std::vector<int>& turn) {
  bool moved = false;
  for (int i : turn) {
    Fiber& fiber = running.fibers[i];
    if (fiber.wait != Wait::no) continue;
    moved = true;
    thread = i;
    watch(fiber.watched);
    memnets_switch(&running.scheduler, fiber.stack);
  }
  if (!moved) {
    std::fprintf(stderr, "emulator: threads wait for each other for ever\n");
    std::abort();
  }
  for (size_t first = 0; first < turn.size(); first += 32)
    release(running.fibers, first, first + 32, Wait::warp);
  release_numbered(running.fibers, turn.size());
  release(running.fibers, 0, turn.size(), Wait::block);
}

inline void check_line(const std::vector<unsigned char>& shared) {
  if (std::all_of(shared.end() - line, shared.end(), [](unsigned char one) { return one == nan_byte; })) return;
  std::fprintf(stderr, "emulator: a block works with more shared memory than it is given\n");
  std::abort();
}

// `shared`: bytes of a block.
inline void launch(int blocks, Index size, int shared, int order, std::function<void()> work) {
  const int threads = size.x * size.y;
  Block running;
  running.owned.resize(threads);
  running.fibers = running.owned.data();
  running.work = std::move(work);
  block = &running;
  counts = {};
  block_size = size;
  std::mt19937 generator(order);
  std::vector<int> turn(threads);
  for (int i = 0; i < threads; ++i) turn[i] = order == descending ? threads - 1 - i : i;
  for (block_of_grid.x = 0; block_of_grid.x < blocks; ++block_of_grid.x) {
    for (Fiber& fiber : running.owned) begin(fiber);
    running.shared.assign(shared + line, nan_byte);
    release_to(&running);
    const auto ended = [](const Fiber& fiber) { return fiber.wait == Wait::ended; };
    while (!std::all_of(running.owned.begin(), running.owned.end(), ended)) {
      if (order > descending) std::shuffle(turn.begin(), turn.end(), generator);
      run_turn(running, turn);
    }
    acquire_from(&running);
    check_line(running.shared);
  }
  for (Fiber& fiber : running.owned) forget(fiber.watched);
  block = nullptr;
  block_size = {32, 1};
}

// What the thread `from` of the same warp gives; its own where there is none.
template <class T>
MEMNETS_UNSEEN inline T exchange(T value, int from) {
  const int me = thread;
  const bool next = block->fibers[me].exchanges ^= true;
  if (me == 0) ++counts.exchanges;
  std::memcpy(&block->exchanged[next][me], &value, sizeof(T));
  yield(Wait::warp);
  const int other = from >= 0 && from / 32 == me / 32 ? from : me;
  std::memcpy(&value, &block->exchanged[next][other], sizeof(T));
  return value;
}

}  // namespace emulator

#define threadIdx emulator::place()
#define blockIdx emulator::current(emulator::block_of_grid)
#define blockDim emulator::current(emulator::block_size)

inline void __syncwarp() { emulator::meet(emulator::Wait::warp, emulator::thread / 32); }
inline void __barrier_sync_count(unsigned number, unsigned count) {
  emulator::meet(emulator::Wait::numbered, number, count);
}
inline void __syncthreads() { emulator::meet(emulator::Wait::block); }
template <class T>
inline T __shfl_xor_sync(unsigned, T value, int step) {
  return emulator::exchange(value, emulator::thread ^ step);
}
template <class T>
inline T __shfl_up_sync(unsigned, T value, int step) {
  return emulator::exchange(value, emulator::thread - step);
}
template <class T>
inline T __shfl_down_sync(unsigned, T value, int step) {
  return emulator::exchange(value, emulator::thread + step);
}
template <class T>
inline T __shfl_sync(unsigned, T value, int from) {
  return emulator::exchange(value, emulator::thread / 32 * 32 + from);
}
