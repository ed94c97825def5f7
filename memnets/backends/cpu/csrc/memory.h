// Reading and writing, forward and backward, for one row of the batch.
//
// The memory is held transposed, [W, N] with N padded to whole vectors, so that every loop runs
// over slots. docs/derivations.md derives the backward of each, under the same names.
#pragma once

#include "vectors.h"

namespace memnets {

// It and its like are passed by value: behind a reference, every store might have changed them.
struct Shape {
  Size slots, length, word;  // length: slots, padded
};

// What a row has after a step: a part that the backward can have written again from the step before,
// one that is kept until then, and of every few steps the links.
template <class T>
struct Record {
  T* written;
  T* kept;
  T* links;  // null where they are not kept
};

// The links before a step: those of the last record that has them, and the records around each step
// since then.
constexpr Size most_past = 3;
template <class T>
struct Past {
  const T* links;
  Size steps;
  T *before[most_past], *after[most_past];
};

// Of r = M^T w of several heads, words w ... w + words - 1, what is to be summed: weights [heads, length].
template <class T, Size heads, Size words>
MEMNETS_INLINE void read_words(Shape shape, const T* memory, const T* weights, Size w,
                               Vector<T> (&sums)[words][heads]) {
  MEMNETS_UNROLL
  for (Size i = 0; i < words; ++i)
    MEMNETS_UNROLL
    for (Size h = 0; h < heads; ++h) sums[i][h] = Vector<T>(0);
  const T* slots = memory + w * shape.length;
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    MEMNETS_UNROLL
    for (Size i = 0; i < words; ++i) {
      const Vector<T> value = load(slots + i * shape.length + n);
      MEMNETS_UNROLL
      for (Size h = 0; h < heads; ++h)
        sums[i][h] = multiply_add(value, load(weights + h * shape.length + n), sums[i][h]);
    }
  }
}

// r = M^T w (derivations.md, read)
template <class T>
MEMNETS_INLINE void read(Shape shape, Size heads, const T* memory, const T* weights, T* vectors) {
  groups(heads, [=](Size first, auto count) MEMNETS_ALWAYS {
    constexpr Size group = decltype(count)::value;
    const T* w_r = weights + first * shape.length;
    T* r = vectors + first * shape.word;
    sums_of_rows<T, group, beside(group)>(
        shape.word,
        [=](Size w, auto words, auto& sums) MEMNETS_ALWAYS {
          read_words<T, group, decltype(words)::value>(shape, memory, w_r, w, sums);
        },
        [=](Size w, const T (&sums)[group]) MEMNETS_ALWAYS {
          MEMNETS_UNROLL
          for (Size h = 0; h < group; ++h) r[h * shape.word + w] = sums[h];
        });
  });
}

// d_weights += M d_r
template <class T>
MEMNETS_INLINE void read_weights_backward(Shape shape, Size heads, const T* memory, const T* d_vectors,
                                          T* d_weights) {
  groups(heads, [=](Size first, auto count) MEMNETS_ALWAYS {
    constexpr Size group = decltype(count)::value;
    const T* d_r = d_vectors + first * shape.word;
    blocks<T, beside(group)>(shape.length, [=](Size start, auto vectors) MEMNETS_ALWAYS {
      constexpr Size width = decltype(vectors)::value;
      T* d_w = d_weights + first * shape.length + start;
      Vector<T> sums[group][width];
      MEMNETS_UNROLL
      for (Size h = 0; h < group; ++h)
        MEMNETS_UNROLL
        for (Size i = 0; i < width; ++i) sums[h][i] = load(d_w + h * shape.length + i * lanes<T>);
      for (Size w = 0; w < shape.word; ++w)
        MEMNETS_UNROLL
        for (Size i = 0; i < width; ++i) {
          const Vector<T> value = load(memory + w * shape.length + start + i * lanes<T>);
          MEMNETS_UNROLL
          for (Size h = 0; h < group; ++h)
            sums[h][i] = multiply_add(Vector<T>(d_r[h * shape.word + w]), value, sums[h][i]);
        }
      MEMNETS_UNROLL
      for (Size h = 0; h < group; ++h)
        MEMNETS_UNROLL
        for (Size i = 0; i < width; ++i) store(sums[h][i], d_w + h * shape.length + i * lanes<T>);
    });
  });
}

// d_memory += w d_r^T, of one head.
template <class T>
MEMNETS_INLINE void read_memory_backward(Shape shape, const T* weights, const T* d_vector, T* d_memory) {
  for (Size w = 0; w < shape.word; ++w)
    add_scaled(d_memory + w * shape.length, d_vector[w], weights, shape.length);
}

// What one write needs: weights [H, length], erase and add vectors [H, W], and what is kept of each slot
// before (retention); null: all of it.
template <class T>
struct Write {
  Size heads;
  const T* weights;
  const T* erase;
  const T* add;
  const T* kept;
};

// One head: M = M_before * (1 - w e^T) + w a^T, of psi M_before where it is `wiping`.
template <class T, bool wiping>
MEMNETS_INLINE void write_one_head(Shape shape, Write<T> parameters, const T* before, T* memory, T* squares) {
  blocks<T>(shape.length, [=](Size start, auto count) MEMNETS_ALWAYS {
    constexpr Size vectors = decltype(count)::value;
    const Vector<T> one(1);
    Vector<T> weights[vectors], kept[vectors], sums[vectors];
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) {
      weights[i] = load(parameters.weights + start + i * lanes<T>);
      if constexpr (wiping) kept[i] = load(parameters.kept + start + i * lanes<T>);
      sums[i] = Vector<T>(0);
    }
    for (Size w = 0; w < shape.word; ++w) {
      const Vector<T> erase(parameters.erase[w]), add(parameters.add[w]);
      const Size place = w * shape.length + start;
      MEMNETS_UNROLL
      for (Size i = 0; i < vectors; ++i) {
        Vector<T> old = load(before + place + i * lanes<T>);
        if constexpr (wiping) old = old * kept[i];
        const Vector<T> value = multiply_add(old, one - weights[i] * erase, weights[i] * add);
        sums[i] = multiply_add(value, value, sums[i]);
        store(value, memory + place + i * lanes<T>);
      }
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < vectors; ++i) store(sums[i], squares + start + i * lanes<T>);
  });
}

// M = psi M_before * prod_h (1 - w e^T) + sum_h w a^T, and squares = sum_W M^2 (derivations.md, write and
// wipe_freed)
template <class T>
MEMNETS_INLINE void write(Shape shape, Write<T> parameters, const T* before, T* memory,
                  T* squares) {
  if (parameters.heads == 1)
    return parameters.kept ? write_one_head<T, true>(shape, parameters, before, memory, squares)
                           : write_one_head<T, false>(shape, parameters, before, memory, squares);
  const Vector<T> one(1);
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> kept = parameters.kept ? load(parameters.kept + n) : one;
    Vector<T> sum(0);
    for (Size w = 0; w < shape.word; ++w) {
      Vector<T> value = kept * load(before + w * shape.length + n);
      Vector<T> added(0);
      for (Size h = 0; h < parameters.heads; ++h) {
        const Vector<T> weight = load(parameters.weights + h * shape.length + n);
        value = value * (one - weight * Vector<T>(parameters.erase[h * shape.word + w]));
        added = multiply_add(weight, Vector<T>(parameters.add[h * shape.word + w]), added);
      }
      value = value + added;
      sum = multiply_add(value, value, sum);
      store(value, memory + w * shape.length + n);
    }
    store(sum, squares + n);
  }
}

// The gradients of a write, like its members: weights and kept are added to, erase and add are set.
template <class T>
struct WriteGradients {
  T *weights, *erase, *add, *kept;
};

// One head: d_memory becomes that of M_before.
template <class T, bool wiping>
MEMNETS_INLINE void write_one_head_backward(Shape shape, Write<T> parameters, const T* before,
                               T* d_memory, WriteGradients<T> gradients) {
  const auto one_word = [=](Size w, auto, auto& sums) MEMNETS_ALWAYS {
    const Vector<T> one(1), erase(parameters.erase[w]), add(parameters.add[w]);
    Vector<T> erased(0), added(0);
    T* d_slots = d_memory + w * shape.length;
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      const Vector<T> d = load(d_slots + n), weight = load(parameters.weights + n);
      const Vector<T> whole = load(before + w * shape.length + n), d_weight = d * weight;
      Vector<T> old = whole, d_old = d * (one - erase * weight);
      if constexpr (wiping) {
        const Vector<T> kept = load(parameters.kept + n);
        T* d_kept = gradients.kept + n;
        store(multiply_add(d_old, whole, load(d_kept)), d_kept);
        old = old * kept, d_old = d_old * kept;
      }
      added = added + d_weight;
      erased = multiply_add(d_weight, old, erased);
      T* d_weights = gradients.weights + n;
      store(multiply_add(d, add - erase * old, load(d_weights)), d_weights);
      store(d_old, d_slots + n);
    }
    sums[0][0] = added, sums[0][1] = erased;
  };
  sums_of_rows<T, 2, 1>(shape.word, one_word, [=](Size w, const T (&sums)[2]) MEMNETS_ALWAYS {
    gradients.add[w] = sums[0], gradients.erase[w] = -sums[1];
  });
}

// Several heads: each factor's gradient holds the product of the others', from both ends.
template <class T>
MEMNETS_INLINE void write_backward(Shape shape, Write<T> parameters, const T* before, T* d_memory,
                           WriteGradients<T> gradients) {
  if (parameters.heads == 1)
    return parameters.kept
               ? write_one_head_backward<T, true>(shape, parameters, before, d_memory, gradients)
               : write_one_head_backward<T, false>(shape, parameters, before, d_memory, gradients);
  const Vector<T> one(1);
  HeadVectors<T> kept(parameters.heads), after(parameters.heads + 1), erased(parameters.heads),
      added(parameters.heads);
  for (Size w = 0; w < shape.word; ++w) {
    for (Size h = 0; h < parameters.heads; ++h) erased[h] = added[h] = Vector<T>(0);
    for (Size n = 0; n < shape.length; n += lanes<T>) {
      T* place = d_memory + w * shape.length + n;
      const Vector<T> d = load(place), whole = load(before + w * shape.length + n);
      const Vector<T> remains = parameters.kept ? load(parameters.kept + n) : one, old = remains * whole;
      after[parameters.heads] = one;
      for (Size h = parameters.heads - 1; h >= 0; --h) {
        kept[h] = one - load(parameters.weights + h * shape.length + n) *
                            Vector<T>(parameters.erase[h * shape.word + w]);
        after[h] = after[h + 1] * kept[h];
      }
      Vector<T> earlier = one;
      for (Size h = 0; h < parameters.heads; ++h) {
        const Vector<T> weight = load(parameters.weights + h * shape.length + n);
        const Vector<T> others = d * old * earlier * after[h + 1];
        added[h] = multiply_add(d, weight, added[h]);
        erased[h] = multiply_add(others, weight, erased[h]);
        T* d_weight = gradients.weights + h * shape.length + n;
        store(load(d_weight) + d * Vector<T>(parameters.add[h * shape.word + w]) -
                  others * Vector<T>(parameters.erase[h * shape.word + w]),
              d_weight);
        earlier = earlier * kept[h];
      }
      const Vector<T> d_old = d * after[0];
      if (parameters.kept) {
        T* d_kept = gradients.kept + n;
        store(multiply_add(d_old, whole, load(d_kept)), d_kept);
      }
      store(d_old * remains, place);
    }
    for (Size h = 0; h < parameters.heads; ++h) {
      put(gradients.add + h * shape.word, w, total(added[h]));
      put(gradients.erase + h * shape.word, w, -total(erased[h]));
    }
  }
}

// Between torch's [N, W] and the kernel's [W, length].
template <class T>
MEMNETS_INLINE void memory_in(Shape shape, const T* from, T* memory, T* squares) {
  fill(memory, shape.word * shape.length);
  fill(squares, shape.length);
  each_alone(shape.slots, [=](Size n) {
    T sum = 0;
    for (Size w = 0; w < shape.word; ++w) {
      const T value = from ? from[n * shape.word + w] : T(0);
      memory[w * shape.length + n] = value;
      sum += value * value;
    }
    squares[n] = sum;
  });
}

template <class T>
MEMNETS_INLINE void memory_out(Shape shape, const T* memory, T* to) {
  each_alone(shape.slots, [=](Size n) {
    for (Size w = 0; w < shape.word; ++w) to[n * shape.word + w] = memory[w * shape.length + n];
  });
}

// Between [count, N] and [count, length].
template <class T>
MEMNETS_INLINE void rows_in(Shape shape, Size count, const T* from, T* to) {
  fill(to, count * shape.length);
  if (!from) return;
  for (Size i = 0; i < count; ++i)
    copy(to + i * shape.length, from + i * shape.slots, shape.slots);
}

template <class T>
MEMNETS_INLINE void rows_out(Shape shape, Size count, const T* from, T* to) {
  for (Size i = 0; i < count; ++i)
    copy(to + i * shape.slots, from + i * shape.length, shape.slots);
}

}  // namespace memnets
