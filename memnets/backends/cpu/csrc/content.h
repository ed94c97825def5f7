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

  Content(T* place, Size length)
      : similarity(place), inverse(place + length), weights(place + 2 * length) {}
  static constexpr Size rows = 3;
};

template <class T>
MEMNETS_INLINE T square(const T* vector, Size count) {
  T sum = 0;
  for (Size i = 0; i < count; ++i) sum += vector[i] * vector[i];
  return sum;
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

// cos(key, M_i) (derivations.md, cosine_similarity)
template <class T>
MEMNETS_INLINE void cosine_similarity(Shape shape, const T* memory, const T* squares, Query<T> query,
                              Content<T> content) {
  const T norm = square(query.key, shape.word);
  blocks<T>(shape.length, [=](Size start, auto count) MEMNETS_ALWAYS {
    constexpr Size vectors = decltype(count)::value;
    Vector<T> products[vectors];
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) products[i] = Vector<T>(0);
    for (Size w = 0; w < shape.word; ++w) {
      const Vector<T> k(query.key[w]);
      const T* slots = memory + w * shape.length + start;
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i)
        products[i] = multiply_add(k, load(slots + i * lanes<T>), products[i]);
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) {
      const Size n = start + i * lanes<T>;
      const Vector<T> inverse =
          multiply_add(Vector<T>(norm), load(squares + n), Vector<T>(query.epsilon)).inverse_root();
      store(inverse, content.inverse + n);
      store(products[i] * inverse, content.similarity + n);
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

// c = softmax_N(strength * similarity) (fused.md 2.3)
template <class T>
MEMNETS_INLINE void content_weights(Shape shape, const T* memory, const T* squares, Query<T> query,
                            Content<T> content) {
  if (query.mask)
    masked_similarity(shape, memory, query, content);
  else
    cosine_similarity(shape, memory, squares, query, content);
  softmax(content.similarity, query.strength, content.weights, shape.slots, shape.length);
}

// From that of the key's products with the slots, and of the squares under the root: of key and memory.
template <class T>
MEMNETS_INLINE void cosine_similarity_backward(Shape shape, const T* memory, const T* squares,
                                       Query<T> query, const T* d_products, T* d_roots, T* d_memory,
                                       QueryGradients<T> d) {
  const T twice = 2 * dot(d_roots, squares, shape.length);
  const Vector<T> twice_norm(2 * square(query.key, shape.word));
  for (Size n = 0; n < shape.length; n += lanes<T>)
    store(load(d_roots + n) * twice_norm, d_roots + n);  // of the slots' squares, and twice that
  for (Size w = 0; w < shape.word; ++w) {
    const Vector<T> k(query.key[w]);
    const T* slots = memory + w * shape.length;
    T* d_slots = d_memory + w * shape.length;
    Vector<T> sum(0);
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      const Vector<T> value = load(slots + n), product = load(d_products + n);
      sum = multiply_add(product, value, sum);
      store(load(d_slots + n) + multiply_add(k, product, load(d_roots + n) * value), d_slots + n);
    }
    d.key[w] = total(sum) + twice * query.key[w];
  }
}

template <class T>
MEMNETS_INLINE void masked_similarity_backward(Shape shape, const T* memory, Query<T> query,
                                       const T* d_products, const T* d_roots, T* d_memory,
                                       QueryGradients<T> d) {
  T norm = 0, d_norm = 0;
  for (Size w = 0; w < shape.word; ++w) {
    const T seen = query.mask[w] * query.key[w];
    norm += seen * seen;
  }
  for (Size w = 0; w < shape.word; ++w) {
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
    d.key[w] = total(along);
    d.mask[w] = total(squared);
    d_norm += passes * d.mask[w];
  }
  for (Size w = 0; w < shape.word; ++w) {
    const T k = query.key[w], mask = query.mask[w], along = d.key[w];
    d.key[w] = mask * mask * (along + 2 * k * d_norm);
    d.mask[w] = 2 * mask * (k * along + norm * d.mask[w] + k * k * d_norm);
  }
}

// From d_weights: the query's gradients are set, d_memory is added to. scratch: 2 * length.
template <class T>
MEMNETS_INLINE void content_weights_backward(Shape shape, const T* memory, const T* squares, Query<T> query,
                                     Content<T> content, const T* d_weights, T* d_memory,
                                     QueryGradients<T> d, T* scratch) {
  T* d_products = scratch;
  T* d_roots = scratch + shape.length;
  softmax_backward(content.weights, d_weights, d_products, shape.length);
  *d.strength = dot(d_products, content.similarity, shape.length);
  const Vector<T> scale(query.strength), half(T(-0.5));
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> inverse = load(content.inverse + n);
    const Vector<T> product = scale * load(d_products + n) * inverse;  // of key . M_i
    store(product, d_products + n);
    store(half * product * load(content.similarity + n) * inverse, d_roots + n);
  }
  if (query.mask)
    masked_similarity_backward(shape, memory, query, d_products, d_roots, d_memory, d);
  else
    cosine_similarity_backward(shape, memory, squares, query, d_products, d_roots, d_memory, d);
}

}  // namespace memnets
