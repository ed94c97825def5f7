// How like a query each slot is, and back, for one row of the batch (docs/derivations.md).
#pragma once

#include "memory.h"

namespace memnets {

// What a look for content leaves for its backward: three rows of `length`.
template <class T>
struct Content {
  T* similarity;  // cos(key, M_i)
  T* inverse;     // 1 / sqrt(|key|^2 |M_i|^2 + epsilon)
  T* weights;     // softmax(strength * similarity)

  Content() = default;
  Content(T* place, Size length)
      : similarity(place), inverse(place + length), weights(place + 2 * length) {}
  static constexpr Size rows = 3;
};

template <class T>
MEMNETS_INLINE T square(const T* vector, Size count) {
  Vector<T> sum(0);
  each<T>(count, [&](Size start, Size some) MEMNETS_ALWAYS {
    const Vector<T> part = load(vector + start, some);
    sum = multiply_add(part, part, sum);
  });
  return total(sum);
}

// What a head looks for.
template <class T>
struct Query {
  const T* key;   // [W]
  const T* mask;  // [W]; null where content is compared whole
  T strength;
  T epsilon;
};

// The gradients of a query.
template <class T>
struct QueryGradients {
  T* key;
  T* mask;
  T* strength;
};

// cos(key, M_i) of several heads (derivations.md, cosine_similarity)
template <class T, Size heads>
MEMNETS_INLINE void cosine_similarity(Shape shape, const T* memory, const T* squares,
                                      const Query<T> (&queries)[heads],
                                      const Content<T> (&contents)[heads]) {
  T norms[heads];
  MEMNETS_UNROLL
  for (Size h = 0; h < heads; ++h) norms[h] = square(queries[h].key, shape.word);
  blocks<T, beside(heads)>(shape.length, [&](Size start, auto count) MEMNETS_ALWAYS {
    constexpr Size vectors = decltype(count)::value;
    Vector<T> products[heads][vectors];
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h)
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) products[h][i] = Vector<T>(0);
    for (Size w = 0; w < shape.word; ++w) {
      const T* slots = memory + w * shape.length + start;
      MEMNETS_UNROLL
      for (Size h = 0; h < heads; ++h) {
        const Vector<T> k(queries[h].key[w]);
        MEMNETS_UNROLL
        for (Size i = 0; i < vectors; ++i)
          products[h][i] = multiply_add(k, load(slots + i * lanes<T>), products[h][i]);
      }
    }
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h)
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) {
        const Size n = start + i * lanes<T>;
        const Vector<T> norm(norms[h]), epsilon(queries[h].epsilon);
        const Vector<T> inverse = multiply_add(norm, load(squares + n), epsilon).inverse_root();
        store(inverse, contents[h].inverse + n);
        store(products[h][i] * inverse, contents[h].similarity + n);
      }
  });
}

// From d_weights, which are lost: the gradient of the strength, and body(n, d_product, d_root) with
// those of the key's products with the slots and of what stands under the roots.
template <class T, class Body>
MEMNETS_INLINE void similarity_backward(Shape shape, Query<T> query, Content<T> content, T* d_weights,
                                        T* d_strength, Body body) {
  softmax_backward(content.weights, d_weights, d_weights, shape.length);
  put(d_strength, 0, dot(d_weights, content.similarity, shape.length));
  const Vector<T> scale(query.strength), half(T(-0.5));
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> inverse = load(content.inverse + n);
    const Vector<T> product = scale * load(d_weights + n) * inverse;
    body(n, product, half * product * load(content.similarity + n) * inverse);
  }
}

// What the pass back over a memory takes of one vector of slots: the gradient of their squares, and of
// each head that of its products and its read weights.
template <class T, Size heads>
struct SlotColumn {
  T d_squares[lanes<T>], d_products[heads][lanes<T>], read_weights[heads][lanes<T>];
};

// What several heads read, with the gradients of their read vectors; nothing where weights is null.
template <class T>
struct Reading {
  const T* weights;    // [heads, length]
  const T* d_vectors;  // [heads, W]
};

// Back through cosine_similarity and, `reading`, through read: d_memory is added to.
template <class T, bool reading, Size heads>
MEMNETS_INLINE void memory_backward(Shape shape, const T* memory, const Query<T> (&queries)[heads],
                                    const QueryGradients<T> (&d)[heads], const T* d_vectors,
                                    const SlotColumn<T, heads>* columns, T* d_memory) {
  const auto one_word = [&](Size w, auto, auto& sums) MEMNETS_ALWAYS {
    const T* slots = memory + w * shape.length;
    T* d_slots = d_memory + w * shape.length;
    Vector<T> key[heads], d_read[heads];
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) {
      key[h] = Vector<T>(queries[h].key[w]);
      if constexpr (reading) d_read[h] = Vector<T>(d_vectors[h * shape.word + w]);
      sums[0][h] = Vector<T>(0);
    }
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      const SlotColumn<T, heads>& column = columns[n / lanes<T>];
      const Vector<T> value = load(slots + n);
      Vector<T> d_value = multiply_add(load(column.d_squares), value, load(d_slots + n));
      MEMNETS_UNROLL
      for (Size h = 0; h < heads; ++h) {
        const Vector<T> product = load(column.d_products[h]);
        sums[0][h] = multiply_add(product, value, sums[0][h]);
        d_value = multiply_add(key[h], product, d_value);
        if constexpr (reading) d_value = multiply_add(d_read[h], load(column.read_weights[h]), d_value);
      }
      store(d_value, d_slots + n);
    }
  };
  sums_of_rows<T, heads, 1>(shape.word, one_word, [&](Size w, const T (&sums)[heads]) MEMNETS_ALWAYS {
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) d[h].key[w] += sums[h];
  });
}

template <class T, bool reading, Size heads>
MEMNETS_INLINE void cosine_similarity_backward(Shape shape, const T* memory, const T* squares,
                                               const Query<T> (&queries)[heads],
                                               const Content<T> (&contents)[heads], Reading<T> read,
                                               T* d_weights, T* d_memory,
                                               const QueryGradients<T> (&d)[heads], T* scratch) {
  auto* columns = reinterpret_cast<SlotColumn<T, heads>*>(scratch);
  MEMNETS_UNROLL
  for (Size h = 0; h < heads; ++h) {
    const Vector<T> twice_norm(2 * square(queries[h].key, shape.word));
    Vector<T> to_norm(0);
    similarity_backward(
        shape, queries[h], contents[h], d_weights + h * shape.length, d[h].strength,
        [&](Size n, Vector<T> d_product, Vector<T> d_root) MEMNETS_ALWAYS {
          SlotColumn<T, heads>& column = columns[n / lanes<T>];
          to_norm = multiply_add(d_root, load(squares + n), to_norm);
          const Vector<T> others = h ? load(column.d_squares) : Vector<T>(0);
          store(multiply_add(d_root, twice_norm, others), column.d_squares);
          store(d_product, column.d_products[h]);
          if constexpr (reading)
            store(load(read.weights + h * shape.length + n), column.read_weights[h]);
        });
    const T twice = 2 * total(to_norm);
    each_alone(shape.word, [&](Size w) { d[h].key[w] = twice * queries[h].key[w]; });
  }
  memory_backward<T, reading>(shape, memory, queries, d, read.d_vectors, columns, d_memory);
}

}  // namespace memnets
