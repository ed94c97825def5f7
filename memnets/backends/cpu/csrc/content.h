// Looking for content, forward and backward, for one row of the batch (docs/derivations.md).
#pragma once

#include "masked_similarity.h"

namespace memnets {

// c = softmax_N(strength * similarity) of several heads, whose queries all have a mask or none; passed:
// room for [W, 2] of several heads with masks
template <class T, Size heads>
MEMNETS_INLINE void content_weights(Shape shape, const T* memory, const T* squares,
                                    const Query<T> (&queries)[heads],
                                    const Content<T> (&contents)[heads], Passing<T>* passed = nullptr) {
  if (queries[0].mask)
    pairs<heads>([&](Size first, auto count) MEMNETS_ALWAYS {
      masked_similarity<T, decltype(count)::value>(shape, memory, queries + first, contents + first, passed);
    });
  else
    cosine_similarity(shape, memory, squares, queries, contents);
  for (Size h = 0; h < heads; ++h) {
    const Content<T> content = contents[h];
    softmax(content.similarity, queries[h].strength, content.weights, shape.slots, shape.length);
  }
}

// From d_weights [heads, length], which are lost: the queries' gradients are set, and d_memory is added
// to, also what comes of `read`. scratch: (1 + 2 * heads) * length, of several heads with masks 6 * length.
template <class T, bool reading = false, Size heads>
MEMNETS_INLINE void content_weights_backward(Shape shape, const T* memory, const T* squares,
                                             const Query<T> (&queries)[heads],
                                             const Content<T> (&contents)[heads], T* d_weights,
                                             T* d_memory, const QueryGradients<T> (&d)[heads], T* scratch,
                                             Reading<T> read = {}) {
  if (!queries[0].mask)
    return cosine_similarity_backward<T, reading>(shape, memory, squares, queries, contents, read,
                                                  d_weights, d_memory, d, scratch);
  pairs<heads>([&](Size first, auto count) MEMNETS_ALWAYS {
    const Reading<T> its = reading ? Reading<T>{read.weights + first * shape.length,
                                                read.d_vectors + first * shape.word}
                                   : Reading<T>{};
    masked_similarity_backward<T, reading, decltype(count)::value>(
        shape, memory, queries + first, contents + first, its, d_weights + first * shape.length, d_memory,
        d + first, scratch);
  });
}

}  // namespace memnets
