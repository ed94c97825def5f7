// The entry points: plain C, called from memnets/backends/cpu/library.py.
#include <thread>

#include "apply.h"
#include "dnc.h"
#include "gradients.h"
#include "layout.h"
#include "ntm.h"
#include "sequence.h"
#include "sparse_sequence.h"
#include "weights.h"

namespace memnets {

// Numbers too small to be normal are a hundred times slower and matter to nothing here.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#elif defined(__aarch64__)
  FlushDenormals() {
    asm volatile("mrs %0, fpcr" : "=r"(before_));
    asm volatile("msr fpcr, %0" : : "r"(before_ | uint64_t(1) << 24));
  }
  ~FlushDenormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

 private:
  uint64_t before_;
#endif
};

// How many rows go through all steps together: as many as keep their states in the cache, where the
// next step finds them; each product with the weights serves all of them.
template <class T, class Memory>
Size rows_at_once(const Problem& problem) {
  constexpr Size cache = 1 << 19;
  const Memory memory(problem);
  const Size running = memory.running_size(), record = memory.written_size() + memory.kept_size();
  return std::max<Size>(1, cache / Size((running ? running : record) * sizeof(T)));
}

// work(index) of each thread, at once.
template <class Work>
void in_threads(Size threads, Work work) {
  const auto flushing = [&](Size index) {
    const FlushDenormals flush;
    work(index);
  };
  std::vector<std::thread> others;
  for (Size index = 1; index < threads; ++index) others.emplace_back(flushing, index);
  flushing(0);
  for (std::thread& other : others) other.join();
}

template <class T, class Memory>
void run(const Problem& problem, bool forward) {
  const Weights<T> weights = weights_of<T>(problem, forward);
  const Size threads = std::max<Size>(1, std::min(problem.threads, problem.batch));
  in_threads(threads, [&](Size index) {
    const Size end = problem.batch * (index + 1) / threads;
    const Size most = rows_at_once<T, Memory>(problem);
    for (Size first = problem.batch * index / threads; first < end; first += most) {
      Arena<T> arena;
      Rows<T, Problem, Memory, Weights<T>> rows(problem, weights, first, std::min(most, end - first),
                                                arena);
      forward ? rows.forward() : rows.backward();
    }
  });
  if (!forward) in_threads(threads, [&](Size index) { weight_gradients<T>(problem, index, threads); });
}

template <class T>
void run(const Problem& problem, bool forward) {
  if (problem.dnc)
    run<T, DncMemory<T>>(problem, forward);
  else
    run<T, NtmMemory<T>>(problem, forward);
}

// Divides `buffer` among what is kept, each part at the beginning of a cache line, and returns how many
// numbers that takes; without a buffer only the latter.
template <class T, class Memory>
Size divide(Problem& p, T* buffer) {
  constexpr Size line = 64 / sizeof(T);
  Size used = 0;
  const auto take = [&](void*& part, Size count) {
    part = buffer && count ? buffer + used : nullptr;
    used += (count + line - 1) / line * line;
  };
  const Memory memory(p);
  const Size times = p.times_kept ? p.time : 1, written = memory.written_size();
  const Size spans = (p.time + p.span - 1) / p.span;
  // What can be written again fills the spans, and all of it the segments.
  const bool whole = p.span < p.segment;
  take(p.raw, times * p.batch * p.numbers);
  take(p.values, times * p.batch * p.numbers);
  for (Size l = 0; l < p.depth; ++l) {
    Layer& layer = p.layers[l];
    take(layer.z, (times + 1) * p.batch * layer.width);
    take(layer.gates, times * p.batch * layer.rows);
    take(layer.cell, static_cast<Cell>(p.cell) == Cell::lstm ? (times + 1) * p.batch * p.hidden : 0);
  }
  take(p.records, p.batch * (p.segment + 1) * memory.kept_size());
  take(p.written, p.batch * (p.span + 1) * written);
  const Size running = p.times_kept ? memory.running_size() : 0;
  take(p.links, p.batch * (p.segment / p.links_every + 1) * running);
  const bool several = p.times_kept && spans > 1;
  take(p.checkpoints,
       several ? p.batch * spans * (written + (whole ? 0 : memory.state_size() + running)) : 0);
  take(p.fresh, p.starts ? p.batch * (written + memory.kept_size() + running) : 0);
  return used;
}

template <class T>
Size divide(Problem& problem, T* buffer) {
  return problem.dnc ? divide<T, DncMemory<T>>(problem, buffer)
                     : divide<T, NtmMemory<T>>(problem, buffer);
}

}  // namespace memnets

// One library holds one kind of number, so that who needs one does not wait for the other.
using Number = MEMNETS_NUMBER;

// All else is hidden: libraries for other numbers and instruction sets may be loaded beside it.
#define MEMNETS_EXPORT extern "C" __attribute__((visibility("default")))

// Points to the parts of what is kept, in `buffer` or nowhere; returns how many numbers they take.
MEMNETS_EXPORT int64_t memnets_divide(memnets::Problem* problem, void* buffer) {
  return memnets::divide<Number>(*problem, static_cast<Number*>(buffer));
}

MEMNETS_EXPORT void memnets_forward(const memnets::Problem* problem) {
  memnets::run<Number>(*problem, true);
}

MEMNETS_EXPORT void memnets_backward(const memnets::Problem* problem) {
  memnets::run<Number>(*problem, false);
}

// Finds the words most like each key: see search.h.
MEMNETS_EXPORT void memnets_search(const void* words, const void* keys, const int64_t* written,
                                   int64_t* found, const void* sketch, int64_t batch, int64_t row,
                                   int64_t heads, int64_t word, int64_t slots, int64_t count,
                                   int64_t sketch_row, double epsilon) {
  const memnets::FlushDenormals flushing;
  memnets::search<Number>({words, keys, written, found, sketch, batch, row, heads, word, slots, count,
                           sketch_row, epsilon});
}

// How many bytes the sketch of `slots` words takes.
MEMNETS_EXPORT int64_t memnets_sketch_size(int64_t slots, int64_t word) {
  return (slots + memnets::block_words - 1) / memnets::block_words * memnets::block_bytes(word);
}

// Sketches `count` words of [rows, slots, word]: those at `places`, counted over all rows, or, where
// that is null, those from `first` on. The sketch of a row is `sketch_row` bytes long.
MEMNETS_EXPORT void memnets_sketch(const float* words, uint8_t* sketch, int64_t slots, int64_t word,
                                   int64_t sketch_row, const int64_t* places, int64_t first,
                                   int64_t count) {
  const memnets::FlushDenormals flushing;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t place = places ? places[i] : first + i, slot = place % slots;
    uint8_t* block = memnets::sketch_block(sketch + place / slots * sketch_row, slot, word);
    memnets::sketch_word(words + place * word, word, block, slot % memnets::block_words);
  }
}

// A step of a sparse memory in place; 0, and nothing is changed, if the state names slots that there are
// not: see sparse_step.h.
MEMNETS_EXPORT int64_t memnets_sparse_step(const memnets::SparseStep* step) {
  const memnets::FlushDenormals flushing;
  for (int64_t b = 0; b < step->batch; ++b)
    if (!memnets::SparseRow<Number>(*step, b).choose()) return 0;
  for (int64_t b = 0; b < step->batch; ++b) memnets::SparseRow<Number>(*step, b).forward();
  return 1;
}

MEMNETS_EXPORT void memnets_sparse_step_backward(const memnets::SparseStep* step) {
  const memnets::FlushDenormals flushing;
  for (int64_t b = 0; b < step->batch; ++b) memnets::SparseRow<Number>(*step, b).backward();
}

// Several steps; returns how many were done, less than all if the state names slots that there are not.
MEMNETS_EXPORT int64_t memnets_sparse_sequence(const memnets::SparseSequence* sequence) {
  const memnets::FlushDenormals flushing;
  return memnets::SparseSteps<Number>(*sequence).forward();
}

MEMNETS_EXPORT void memnets_sparse_sequence_backward(const memnets::SparseSequence* sequence) {
  const memnets::FlushDenormals flushing;
  memnets::SparseSteps<Number>(*sequence).backward();
}

// How many numbers of a row of the batch a step keeps for its backward.
MEMNETS_EXPORT int64_t memnets_sparse_kept(const memnets::SparseStep* step) {
  return memnets::SparseRow<Number>::kept_size(*step);
}

// What the caller compares with its own structures.
MEMNETS_EXPORT const char* memnets_layout() {
  static const std::string text = memnets::layout();
  return text.c_str();
}

// For tests: `function` as numbered in apply.h, with numbers too small to be normal flushed, as in
// the kernel's threads, or kept.
MEMNETS_EXPORT void memnets_apply(int64_t function, const void* from, void* to, int64_t count,
                                  int64_t flush) {
  const auto apply = [=] {
    memnets::apply(static_cast<memnets::Function>(function), static_cast<const Number*>(from),
                   static_cast<Number*>(to), count);
  };
  if (!flush) return apply();
  const memnets::FlushDenormals flushing;
  apply();
}

MEMNETS_EXPORT const char* memnets_vectors() { return memnets::instruction_set; }
