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

template <bool forward>
inline void launch(const Sizes& problem, Size rows_a_block, Number* arena, int64_t arena_size) {
  run_block<Number, Sizes, MEMNETS_MEMORY<Number, Sizes>>(problem, forward, rows_a_block,
                                                         arena + blockIdx.x * arena_size);
}

}  // namespace memnets

extern "C" __global__ void __launch_bounds__(MEMNETS_THREADS, 1)
    memnets_forward(const __grid_constant__ memnets::Sizes problem, int rows_a_block,
                    memnets::Number* arena, long long arena_size) {
  memnets::launch<true>(problem, rows_a_block, arena, arena_size);
}

extern "C" __global__ void __launch_bounds__(MEMNETS_THREADS, 1)
    memnets_backward(const __grid_constant__ memnets::Sizes problem, int rows_a_block,
                     memnets::Number* arena, long long arena_size) {
  memnets::launch<false>(problem, rows_a_block, arena, arena_size);
}
