// Looking for content, forward and backward, for one row of the batch (docs/derivations.md).
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

// cos(mask * key, mask * M_i) (derivations.md, masked_similarity)
template <class T>
MEMNETS_INLINE void masked_similarity(Shape shape, const T* memory, Query<T> query, Content<T> content) {
  T norm = 0;
  for (Size w = 0; w < shape.word; ++w) {
    const T seen = query.mask[w] * query.key[w];
    norm += seen * seen;
  }
  blocks<T>(shape.length, [=](Size start, auto count) MEMNETS_ALWAYS {
    constexpr Size vectors = decltype(count)::value;
    Vector<T> products[vectors], squares[vectors];
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) products[i] = squares[i] = Vector<T>(0);
    for (Size w = 0; w < shape.word; ++w) {
      const T passes = query.mask[w] * query.mask[w];
      const Vector<T> k(passes * query.key[w]), p(passes);
      const T* slots = memory + w * shape.length + start;
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) {
        const Vector<T> value = load(slots + i * lanes<T>);
        products[i] = multiply_add(k, value, products[i]);
        squares[i] = multiply_add(p * value, value, squares[i]);
      }
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) {
      const Size n = start + i * lanes<T>;
      const Vector<T> inverse =
          multiply_add(Vector<T>(norm), squares[i], Vector<T>(query.epsilon)).inverse_root();
      store(inverse, content.inverse + n);
      store(products[i] * inverse, content.similarity + n);
    }
  });
}

// c = softmax_N(strength * similarity) of several heads, whose queries all have a mask or none
template <class T, Size heads>
MEMNETS_INLINE void content_weights(Shape shape, const T* memory, const T* squares,
                                    const Query<T> (&queries)[heads],
                                    const Content<T> (&contents)[heads]) {
  if (queries[0].mask)
    for (Size h = 0; h < heads; ++h) masked_similarity(shape, memory, queries[h], contents[h]);
  else
    cosine_similarity(shape, memory, squares, queries, contents);
  for (Size h = 0; h < heads; ++h) {
    const Content<T> content = contents[h];
    softmax(content.similarity, queries[h].strength, content.weights, shape.slots, shape.length);
  }
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

template <class T>
MEMNETS_INLINE void masked_similarity_backward(Shape shape, const T* memory, Query<T> query,
                                       const T* d_products, const T* d_roots, T* d_memory,
                                       QueryGradients<T> d) {
  T norm = 0;
  for (Size w = 0; w < shape.word; ++w) {
    const T seen = query.mask[w] * query.key[w];
    norm += seen * seen;
  }
  Vector<T> to_norm(0);
  const auto one_word = [&](Size w, auto, auto& sums) MEMNETS_ALWAYS {
    const T passes = query.mask[w] * query.mask[w];
    const Vector<T> k(passes * query.key[w]), twice_norm(2 * passes * norm);
    const T* slots = memory + w * shape.length;
    T* d_slots = d_memory + w * shape.length;
    Vector<T> along(0), squared(0);
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      const Vector<T> value = load(slots + n), product = load(d_products + n);
      const Vector<T> root = load(d_roots + n) * value;
      along = multiply_add(product, value, along);
      squared = multiply_add(root, value, squared);
      store(load(d_slots + n) + multiply_add(k, product, twice_norm * root), d_slots + n);
    }
    to_norm = multiply_add(Vector<T>(passes), squared, to_norm);
    sums[0][0] = along, sums[0][1] = squared;
  };
  sums_of_rows<T, 2, 1>(shape.word, one_word, [=](Size w, const T (&sums)[2]) MEMNETS_ALWAYS {
    d.key[w] = sums[0], d.mask[w] = sums[1];
  });
  const T d_norm = total(to_norm);
  each_alone(shape.word, [=](Size w) {
    const T k = query.key[w], mask = query.mask[w], along = d.key[w];
    d.key[w] = mask * mask * (along + 2 * k * d_norm);
    d.mask[w] = 2 * mask * (k * along + norm * d.mask[w] + k * k * d_norm);
  });
}

// From d_weights [heads, length], which are lost: the queries' gradients are set, and d_memory is added
// to, also what comes of `read`. scratch: (1 + 2 * heads) * length.
template <class T, bool reading = false, Size heads>
MEMNETS_INLINE void content_weights_backward(Shape shape, const T* memory, const T* squares,
                                             const Query<T> (&queries)[heads],
                                             const Content<T> (&contents)[heads], T* d_weights,
                                             T* d_memory, const QueryGradients<T> (&d)[heads], T* scratch,
                                             Reading<T> read = {}) {
  if (!queries[0].mask)
    return cosine_similarity_backward<T, reading>(shape, memory, squares, queries, contents, read,
                                                  d_weights, d_memory, d, scratch);
  for (Size h = 0; h < heads; ++h) {
    if constexpr (reading)
      read_memory_backward(shape, read.weights + h * shape.length, read.d_vectors + h * shape.word, d_memory);
    T *d_products = scratch, *d_roots = scratch + shape.length;
    similarity_backward(shape, queries[h], contents[h], d_weights + h * shape.length, d[h].strength,
                        [&](Size n, Vector<T> d_product, Vector<T> d_root) MEMNETS_ALWAYS {
                          store(d_product, d_products + n);
                          store(d_root, d_roots + n);
                        });
    masked_similarity_backward(shape, memory, queries[h], d_products, d_roots, d_memory, d[h]);
  }
}

}  // namespace memnets
