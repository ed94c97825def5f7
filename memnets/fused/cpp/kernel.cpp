// The entry points: plain C, called from memnets/fused/library.py.
#include <thread>

#include "dnc.h"
#include "ntm.h"
#include "sequence.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace memnets {

// Numbers too small to be normal are a hundred times slower and matter to nothing here.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
  ~FlushDenormals() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#endif
};

// How many rows go through all steps together: as many as keep their states in the cache, where the
// next step finds them; each product with the weights serves all of them.
template <class T, class Memory>
Size rows_at_once(const Problem& problem) {
  constexpr Size cache = 1 << 19;
  const Memory memory(problem);
  const Size row = (memory.held_size() ? memory.held_size() : memory.record_size()) * sizeof(T);
  return std::max<Size>(1, cache / row);
}

template <class T, class Memory>
void run(const Problem& problem, bool forward) {
  const Weights<T> weights = pack<T>(problem, forward);
  const Size threads = std::max<Size>(1, std::min(problem.threads, problem.batch));
  const auto work = [&](Size index) {
    const FlushDenormals flush;
    const Size end = problem.batch * (index + 1) / threads;
    const Size most = rows_at_once<T, Memory>(problem);
    for (Size first = problem.batch * index / threads; first < end; first += most) {
      Rows<T, Memory> rows(problem, weights, first, std::min(most, end - first));
      forward ? rows.forward() : rows.backward();
    }
  };
  std::vector<std::thread> others;
  for (Size index = 1; index < threads; ++index) others.emplace_back(work, index);
  work(0);
  for (std::thread& other : others) other.join();
}

template <class T>
void run(const Problem& problem, bool forward) {
  if (problem.dnc)
    run<T, DncMemory<T>>(problem, forward);
  else
    run<T, NtmMemory<T>>(problem, forward);
}

template <class T>
void sizes(const Problem& problem, Size* record, Size* state) {
  if (problem.dnc) {
    const DncMemory<T> memory(problem);
    *record = memory.record_size();
    *state = memory.state_size();
  } else {
    const NtmMemory<T> memory(problem);
    *record = memory.record_size();
    *state = memory.state_size();
  }
}

}  // namespace memnets

// One library holds one kind of number, so that who needs one does not wait for the other.
using Number = MEMNETS_NUMBER;

extern "C" {

// Numbers of one step's record and of one state, for one row of the batch.
void memnets_sizes(const memnets::Problem* problem, int64_t* record, int64_t* state) {
  memnets::sizes<Number>(*problem, record, state);
}

void memnets_forward(const memnets::Problem* problem) { memnets::run<Number>(*problem, true); }

void memnets_backward(const memnets::Problem* problem) { memnets::run<Number>(*problem, false); }

// That the caller was written for this layout.
int64_t memnets_problem_size() { return sizeof(memnets::Problem); }

const char* memnets_vectors() {
#if defined(CPU_CAPABILITY_AVX512)
  return "AVX-512";
#elif defined(CPU_CAPABILITY_AVX2)
  return "AVX2";
#else
  return "the compiler's own vectors";
#endif
}
}
