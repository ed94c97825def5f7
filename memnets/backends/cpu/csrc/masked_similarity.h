// How like a query each slot is where a mask says which of their numbers are compared, and back
// (docs/derivations.md, masked_similarity).
#pragma once

#include "similarity.h"

namespace memnets {

// What of a query with a mask multiplies a number of a slot, and its square.
template <class T>
struct Passing {
  T key, square;  // mask^2 * key, mask^2
};
template <class T>
MEMNETS_INLINE Passing<T> passing(Query<T> query, Size w) {
  const T square = query.mask[w] * query.mask[w];
  return {square * query.key[w], square};
}

template <class T>
MEMNETS_INLINE T masked_norm(Query<T> query, Size word) {
  T norm = 0;
  for (Size w = 0; w < word; ++w) {
    const T seen = query.mask[w] * query.key[w];
    norm += seen * seen;
  }
  return norm;
}

// cos(mask * key, mask * M_i) of one or two heads (derivations.md, masked_similarity); passed, of two
// heads alone: room for [W, heads].
template <class T, Size heads>
MEMNETS_INLINE void masked_similarity(Shape shape, const T* memory, const Query<T>* queries,
                                      const Content<T>* contents, Passing<T>* passed) {
  T norms[heads];
  for (Size h = 0; h < heads; ++h) norms[h] = masked_norm(queries[h], shape.word);
  if constexpr (heads > 1)
    for (Size w = 0; w < shape.word; ++w)
      for (Size h = 0; h < heads; ++h) passed[w * heads + h] = passing(queries[h], w);
  blocks<T, 4 / heads>(shape.length, [&](Size start, auto count) MEMNETS_ALWAYS {
    constexpr Size vectors = decltype(count)::value;
    Vector<T> products[heads][vectors], squares[heads][vectors];
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h)
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) products[h][i] = squares[h][i] = Vector<T>(0);
    for (Size w = 0; w < shape.word; ++w) {
      const T* slots = memory + w * shape.length + start;
      Vector<T> values[vectors];
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) values[i] = load(slots + i * lanes<T>);
      MEMNETS_UNROLL
      for (Size h = 0; h < heads; ++h) {
        const Passing<T> through = heads > 1 ? passed[w * heads + h] : passing(queries[h], w);
        const Vector<T> key(through.key), square(through.square);
        MEMNETS_UNROLL
        for (Size i = 0; i < vectors; ++i) {
          products[h][i] = multiply_add(key, values[i], products[h][i]);
          squares[h][i] = multiply_add(square, values[i] * values[i], squares[h][i]);
        }
      }
    }
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h)
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) {
        const Size n = start + i * lanes<T>;
        const Vector<T> norm(norms[h]), epsilon(queries[h].epsilon);
        const Vector<T> inverse = multiply_add(norm, squares[h][i], epsilon).inverse_root();
        store(inverse, contents[h].inverse + n);
        store(products[h][i] * inverse, contents[h].similarity + n);
      }
  });
}

// What the pass back over a memory takes of one vector of slots, of each head with a mask: the gradients
// of its products and of what stands under its roots, and its read weights.
template <class T, Size heads>
struct MaskedColumn {
  T d_products[heads][lanes<T>], d_roots[heads][lanes<T>], read_weights[heads][lanes<T>];
};

// Of a key and its mask, from sums over the slots: d.key has those of the products, d.mask of the roots.
template <class T>
MEMNETS_INLINE void masked_query_backward(Size word, Query<T> query, T norm, T d_norm, QueryGradients<T> d) {
  each_alone(word, [=](Size w) {
    const T k = query.key[w], mask = query.mask[w], along = d.key[w];
    d.key[w] = mask * mask * (along + 2 * k * d_norm);
    d.mask[w] = 2 * mask * (k * along + norm * d.mask[w] + k * k * d_norm);
  });
}

// Back through masked_similarity and, `reading`, through read: d_memory is added to.
template <class T, bool reading, Size heads>
MEMNETS_INLINE void masked_memory_backward(Shape shape, const T* memory, const Query<T>* queries,
                                           const T* d_vectors, const MaskedColumn<T, heads>* columns,
                                           T* d_memory, const QueryGradients<T>* d) {
  T norms[heads];
  Vector<T> to_norms[heads];
  for (Size h = 0; h < heads; ++h) {
    norms[h] = masked_norm(queries[h], shape.word);
    to_norms[h] = Vector<T>(0);
  }
  const auto one_word = [&](Size w, auto, auto& sums) MEMNETS_ALWAYS {
    const T* slots = memory + w * shape.length;
    T* d_slots = d_memory + w * shape.length;
    Vector<T> keys[heads], twice_norms[heads], d_read[heads], along[heads], squared[heads];
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) {
      const Passing<T> through = passing(queries[h], w);
      keys[h] = Vector<T>(through.key);
      twice_norms[h] = Vector<T>(2 * through.square * norms[h]);
      if constexpr (reading) d_read[h] = Vector<T>(d_vectors[h * shape.word + w]);
      along[h] = squared[h] = Vector<T>(0);
    }
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      const MaskedColumn<T, heads>& column = columns[n / lanes<T>];
      const Vector<T> value = load(slots + n), square = value * value;
      Vector<T> d_value = load(d_slots + n), slope(0);
      MEMNETS_UNROLL
      for (Size h = 0; h < heads; ++h) {
        const Vector<T> product = load(column.d_products[h]), root = load(column.d_roots[h]);
        along[h] = multiply_add(product, value, along[h]);
        squared[h] = multiply_add(root, square, squared[h]);
        d_value = multiply_add(keys[h], product, d_value);
        slope = multiply_add(twice_norms[h], root, slope);
        if constexpr (reading) d_value = multiply_add(d_read[h], load(column.read_weights[h]), d_value);
      }
      store(multiply_add(slope, value, d_value), d_slots + n);
    }
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) {
      to_norms[h] = multiply_add(Vector<T>(passing(queries[h], w).square), squared[h], to_norms[h]);
      sums[0][h] = along[h], sums[0][heads + h] = squared[h];
    }
  };
  sums_of_rows<T, 2 * heads, 1>(shape.word, one_word, [&](Size w, const T (&sums)[2 * heads]) MEMNETS_ALWAYS {
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) d[h].key[w] = sums[h], d[h].mask[w] = sums[heads + h];
  });
  for (Size h = 0; h < heads; ++h)
    masked_query_backward(shape.word, queries[h], norms[h], total(to_norms[h]), d[h]);
}

template <class T, bool reading, Size heads>
MEMNETS_INLINE void masked_similarity_backward(Shape shape, const T* memory, const Query<T>* queries,
                                               const Content<T>* contents, Reading<T> read, T* d_weights,
                                               T* d_memory, const QueryGradients<T>* d, T* scratch) {
  auto* columns = reinterpret_cast<MaskedColumn<T, heads>*>(scratch);
  for (Size h = 0; h < heads; ++h)
    similarity_backward(shape, queries[h], contents[h], d_weights + h * shape.length, d[h].strength,
                        [&](Size n, Vector<T> d_product, Vector<T> d_root) MEMNETS_ALWAYS {
                          MaskedColumn<T, heads>& column = columns[n / lanes<T>];
                          store(d_product, column.d_products[h]);
                          store(d_root, column.d_roots[h]);
                          if constexpr (reading)
                            store(load(read.weights + h * shape.length + n), column.read_weights[h]);
                        });
  masked_memory_backward<T, reading>(shape, memory, queries, read.d_vectors, columns, d_memory, d);
}

}  // namespace memnets
