// The kernel for a GPU: a block takes its rows of the batch through all steps. Compiled for one layer's sizes
// (sizes.h, which memnets/backends/cuda/sources.py writes) and one kind of number.
#include "nvrtc.h"

#define MEMNETS_DEVICE
#include "dnc.h"
#include "ntm.h"
#include "block_products.h"
#include "sizes.h"

namespace memnets {

using Number = MEMNETS_NUMBER;

// A block works in shared memory where it was compiled for that, else in its part of the arena.
template <bool forward>
inline void launch(const Sizes& problem, Number* arena, int64_t arena_size) {
#if MEMNETS_SHARED
  extern __shared__ Number place[];
#else
  Number* place = arena + blockIdx.x * arena_size;
#endif
  run_block<Number, Sizes, MEMNETS_MEMORY<Number, Sizes>>(problem, forward, place);
}

}  // namespace memnets

extern "C" __global__ void __launch_bounds__(MEMNETS_THREADS, 1)
    memnets_forward(const __grid_constant__ memnets::Sizes problem, memnets::Number* arena,
                    long long arena_size) {
  memnets::launch<true>(problem, arena, arena_size);
}

extern "C" __global__ void __launch_bounds__(MEMNETS_THREADS, 1)
    memnets_backward(const __grid_constant__ memnets::Sizes problem, memnets::Number* arena,
                     long long arena_size) {
  memnets::launch<false>(problem, arena, arena_size);
}
