// The kernel for a GPU, by a C++ compiler: what memnets/backends/cuda launches runs here.
#include "fibers.h"

#define MEMNETS_DEVICE
#include "dnc.h"
#include "ntm.h"
#include "block_products.h"
#include "layout.h"

namespace memnets {

using Number = MEMNETS_NUMBER;

// A block works in shared memory where there is no arena.
template <class Memory>
void run(const Problem& problem, bool forward, Number* arena, int64_t arena_size) {
  Number* place = arena ? arena + blockIdx.x * arena_size
                        : reinterpret_cast<Number*>(emulator::block->shared.data());
  run_block<Number, Problem, Memory>(problem, forward, place);
}

template <class Memory>
void sizes(const Problem& problem, int64_t* to) {
  const Memory memory(problem);
  const int64_t found[] = {memory.running_size(), memory.written_size(), memory.kept_size(),
                           memory.state_size(),   memory.carry_size(),   memory.work_size()};
  std::copy(std::begin(found), std::end(found), to);
}

}  // namespace memnets

using memnets::Number;

#define MEMNETS_EXPORT extern "C" __attribute__((visibility("default")))

MEMNETS_EXPORT void memnets_launch(const memnets::Problem* problem, int forward, int blocks, int threads,
                                   int rows, int shared, Number* arena, int64_t arena_size, int order) {
  const auto run = problem->dnc ? memnets::run<memnets::DncMemory<Number>>
                                : memnets::run<memnets::NtmMemory<Number>>;
  emulator::launch(blocks, {threads / rows, rows}, shared, order,
                   [=] { run(*problem, forward != 0, arena, arena_size); });
}

// Of a memory: running, written, kept, state, carry, work; in numbers.
MEMNETS_EXPORT void memnets_sizes(const memnets::Problem* problem, int64_t* to) {
  problem->dnc ? memnets::sizes<memnets::DncMemory<Number>>(*problem, to)
               : memnets::sizes<memnets::NtmMemory<Number>>(*problem, to);
}

// Of the last launch.
MEMNETS_EXPORT void memnets_counts(emulator::Counts* to) { *to = emulator::counts; }

MEMNETS_EXPORT const char* memnets_layout() {
  static const std::string text = memnets::layout();
  return text.c_str();
}
