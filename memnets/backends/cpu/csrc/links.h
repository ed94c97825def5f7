// The temporal link matrix of a DNC, for one row of the batch and one write head (docs/fused.md,
// section 4.2): a single pass over it updates it and reads it both ways, and a single pass goes
// back. This is where a DNC's time goes: N * N numbers in, N * N out.
#pragma once

#include "memory.h"

namespace memnets {

// Rows of the link that a pass takes at once: as many as leave its sums in registers.
constexpr Size together = 4;
constexpr Size together_backward = 2;

// One vector of ones with a zero where slot i meets itself, for slots j ... j + lanes - 1.
template <class T>
class OffDiagonal {
 public:
  OffDiagonal() {
    fill(table_, 2 * lanes<T> + 1, T(1));
    table_[lanes<T>] = 0;
  }
  bool meets(Size i, Size j) const { return j <= i && i < j + lanes<T>; }
  Vector<T> mask(Size i, Size j) const { return load(table_ + lanes<T> - (i - j)); }

 private:
  T table_[2 * lanes<T> + 1];
};

// What a pass over the link does besides reading it.
enum class Pass { directional_weights, update, update_and_keep };

template <class T>
struct Links {
  const T* before;         // [N, length]
  T* kept;                 // [N, length], for the backward; null where there is none
  const T* write_weights;  // [length] of this step
  const T* precedence;     // [length] of the step before
  const T* read_weights;   // [R, length] of the step before
};

// L_ij = (1 - w_i - w_j) L_ij + w_i p_j off the diagonal, in place; of all `count` readers,
// forward += L w_r and backward += L^T w_r. Rows first ... first + rows - 1.
template <class T, Size count, Size rows, Pass pass>
inline void link_rows(Shape shape, Links<T> links, Size first, T* link, T* backward, T* forward,
                      Size stride) {
  static const OffDiagonal<T> off;
  Vector<T> kept[rows], to[rows], ahead[rows][count], weight[rows][count];
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i) {
    const T w = links.write_weights[first + i];
    kept[i] = Vector<T>(1 - w);
    to[i] = Vector<T>(w);
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) {
      ahead[i][r] = Vector<T>(0);
      weight[i][r] = Vector<T>(links.read_weights[r * shape.length + first + i]);
    }
  }
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> since = load(links.write_weights + n), previous = load(links.precedence + n);
    Vector<T> back[count];
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) back[r] = load(backward + r * stride + n);
    MEMNETS_UNROLL
    for (Size i = 0; i < rows; ++i) {
      T* place = link + (first + i) * shape.length + n;
      Vector<T> value;
      if constexpr (pass != Pass::directional_weights) {
        value = multiply_add(kept[i] - since, load(place), to[i] * previous);
        if (off.meets(first + i, n)) value = value * off.mask(first + i, n);
        store(value, place);
        if constexpr (pass == Pass::update_and_keep)
          store_away(value, links.kept + (first + i) * shape.length + n);
      } else {
        value = load(place);
      }
      MEMNETS_UNROLL
      for (Size r = 0; r < count; ++r) {
        ahead[i][r] = multiply_add(value, load(links.read_weights + r * shape.length + n), ahead[i][r]);
        back[r] = multiply_add(value, weight[i][r], back[r]);
      }
    }
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) store(back[r], backward + r * stride + n);
  }
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i)
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) forward[r * stride + first + i] = total(ahead[i][r]);
}

template <class T, Size count, Pass pass>
inline void link_pass(Shape shape, Links<T> links, T* link, T* backward, T* forward,
                      Size stride) {
  Size i = 0;
  for (; i + together <= shape.slots; i += together)
    link_rows<T, count, together, pass>(shape, links, i, link, backward, forward, stride);
  for (; i < shape.slots; ++i)
    link_rows<T, count, 1, pass>(shape, links, i, link, backward, forward, stride);
}

template <class T, Pass pass>
inline void link_chunk(Size count, Shape shape, Links<T> links, T* link, T* backward,
                       T* forward, Size stride) {
  if (count == 1) return link_pass<T, 1, pass>(shape, links, link, backward, forward, stride);
  if (count == 2) return link_pass<T, 2, pass>(shape, links, link, backward, forward, stride);
  if (count == 3) return link_pass<T, 3, pass>(shape, links, link, backward, forward, stride);
  link_pass<T, 4, pass>(shape, links, link, backward, forward, stride);
}

// `link` is that of the step before and becomes this one's. backward, forward: reader r's row begins at r * stride; both are set.
template <class T>
inline void update_link(Shape shape, Size readers, Links<T> links, T* link, T* backward,
                        T* forward, Size stride) {
  for (Size r = 0; r < readers; ++r) {
    fill(backward + r * stride, shape.length);
    fill(forward + r * stride, shape.length);
  }
  for (Size r = 0; r < readers; r += 4) {
    const Size count = std::min<Size>(4, readers - r);
    if (r > 0)
      link_chunk<T, Pass::directional_weights>(count, shape, links, link, backward, forward, stride);
    else if (links.kept)
      link_chunk<T, Pass::update_and_keep>(count, shape, links, link, backward, forward, stride);
    else
      link_chunk<T, Pass::update>(count, shape, links, link, backward, forward, stride);
    links.read_weights += 4 * shape.length;
    backward += 4 * stride;
    forward += 4 * stride;
  }
}

template <class T>
struct LinkGradients {
  T* link;           // [N, length]: of the link after, becomes that of the link before
  T* write_weights;  // [length], added to, as the two that follow
  T* precedence;
  T* read_weights;   // [R, length]
  const T* backward;  // gradients of the two readings, reader r's at r * stride
  const T* forward;
  Size stride;
};

// First the readings: d_link += d_f w^T + w d_b^T, and the read weights' gradients, which need the
// link after; then, in the last chunk of readers, the update itself.
template <class T, Size count, Size rows, bool update>
inline void link_rows_backward(Shape shape, Links<T> links, Size first,
                               LinkGradients<T> d) {
  static const OffDiagonal<T> off;
  Vector<T> kept[rows], to[rows], sums[rows], to_reads[rows][count];
  Vector<T> ahead[rows][count], weight[rows][count];
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i) {
    const T w = links.write_weights[first + i];
    kept[i] = Vector<T>(1 - w);
    to[i] = Vector<T>(w);
    sums[i] = Vector<T>(0);
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) {
      to_reads[i][r] = Vector<T>(0);
      ahead[i][r] = Vector<T>(d.forward[r * d.stride + first + i]);
      weight[i][r] = Vector<T>(links.read_weights[r * shape.length + first + i]);
    }
  }
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> since = load(links.write_weights + n), previous = load(links.precedence + n);
    Vector<T> d_since = load(d.write_weights + n), d_previous = load(d.precedence + n);
    Vector<T> d_read[count];
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) d_read[r] = load(d.read_weights + r * shape.length + n);
    MEMNETS_UNROLL
    for (Size i = 0; i < rows; ++i) {
      const Size start = (first + i) * shape.length + n;
      __builtin_prefetch(links.before + start + 2 * rows * shape.length);
      const Vector<T> old = load(links.before + start), factor = kept[i] - since;
      Vector<T> value = multiply_add(factor, old, to[i] * previous), g = load(d.link + start);
      const bool diagonal = off.meets(first + i, n);
      if (diagonal) value = value * off.mask(first + i, n);
      MEMNETS_UNROLL
      for (Size r = 0; r < count; ++r) {
        const Vector<T> d_back = load(d.backward + r * d.stride + n);
        d_read[r] = multiply_add(ahead[i][r], value, d_read[r]);
        to_reads[i][r] = multiply_add(value, d_back, to_reads[i][r]);
        g = multiply_add(ahead[i][r], load(links.read_weights + r * shape.length + n), g);
        g = multiply_add(weight[i][r], d_back, g);
      }
      if constexpr (update) {
        if (diagonal) g = g * off.mask(first + i, n);
        sums[i] = multiply_add(g, previous - old, sums[i]);
        d_since = d_since - g * old;
        d_previous = multiply_add(g, to[i], d_previous);
        g = g * factor;
      }
      store(g, d.link + start);
    }
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) store(d_read[r], d.read_weights + r * shape.length + n);
    if constexpr (update) {
      store(d_since, d.write_weights + n);
      store(d_previous, d.precedence + n);
    }
  }
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i) {
    if constexpr (update) d.write_weights[first + i] += total(sums[i]);
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r)
      d.read_weights[r * shape.length + first + i] += total(to_reads[i][r]);
  }
}

template <class T, Size count, bool update>
inline void link_pass_backward(Shape shape, Links<T> links, LinkGradients<T> d) {
  Size i = 0;
  for (; i + together_backward <= shape.slots; i += together_backward)
    link_rows_backward<T, count, together_backward, update>(shape, links, i, d);
  for (; i < shape.slots; ++i) link_rows_backward<T, count, 1, update>(shape, links, i, d);
}

template <class T, bool update>
inline void link_chunk_backward(Size count, Shape shape, Links<T> links,
                                LinkGradients<T> d) {
  if (count == 1) return link_pass_backward<T, 1, update>(shape, links, d);
  if (count == 2) return link_pass_backward<T, 2, update>(shape, links, d);
  if (count == 3) return link_pass_backward<T, 3, update>(shape, links, d);
  link_pass_backward<T, 4, update>(shape, links, d);
}

template <class T>
inline void update_link_backward(Shape shape, Size readers, Links<T> links,
                                 LinkGradients<T> d) {
  for (Size r = 0; r < readers; r += 4) {
    const Size count = std::min<Size>(4, readers - r);
    if (r + 4 >= readers)
      link_chunk_backward<T, true>(count, shape, links, d);
    else
      link_chunk_backward<T, false>(count, shape, links, d);
    links.read_weights += 4 * shape.length;
    d.read_weights += 4 * shape.length;
    d.backward += 4 * d.stride;
    d.forward += 4 * d.stride;
  }
}

}  // namespace memnets
