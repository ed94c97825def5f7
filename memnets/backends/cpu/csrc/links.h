// The temporal link matrix of a DNC, for one row of the batch and one write head (docs/derivations.md,
// update_link): a single pass over it updates it and reads it both ways, and a single pass goes
// back. This is where a DNC's time goes: N * N numbers in, N * N out. Those who take a row together divide
// the rows of its link.
#pragma once

#include "memory.h"

namespace memnets {

// Rows of the link that a pass takes at once: they share what is loaded of a vector of slots.
constexpr Size together = 2;

// Whether a vector of slots holds one of the rows at hand: there a slot meets itself.
enum class Meets { no, yes };

// `value` of slots n, n + 1, ... for slot i, which has no link to itself.
template <class T, Meets meets>
MEMNETS_INLINE Vector<T> off_diagonal(Vector<T> value, Size i, Size n) {
  if constexpr (meets == Meets::no) return value;
  return value * all_but_one<T>(i - n);
}

// Calls body(n, meets) for every vector of slots; those of rows first ... are in one.
template <class T, class Body>
MEMNETS_INLINE void along_rows(Size length, Size first, Body body) {
  using Off = std::integral_constant<Meets, Meets::no>;
  using On = std::integral_constant<Meets, Meets::yes>;
  const Size meeting = first / lanes<T> * lanes<T>;
  for (Size n = 0; n < meeting; n += lanes<T>) body(n, Off());
  body(meeting, On());
  for (Size n = meeting + lanes<T>; n < length; n += lanes<T>) body(n, Off());
}

// What a pass over the link does besides reading it.
enum class Pass { directional_weights, update, update_and_keep };

template <class T>
struct Links {
  const T* write_weights;  // [length] of this step
  const T* precedence;     // [length] of the step before
  const T* read_weights;   // [R, length] of the step before
  T* columns;              // [link_columns(), length]: room for what a pass takes of the slots
};

// An array has at least one element.
constexpr Size some(Size count) { return count ? count : 1; }

// Of a pass for four readers: what it takes, and what each who takes part adds up.
constexpr Size link_taken = 2 + 2 * 4 + 2 * some(remakes_links ? most_past : 0), link_sums = 2 + 4;
inline Size link_columns() { return link_taken + link_sums * members(); }

// What a pass takes of one vector of slots, and what it adds up.
template <class T, Size count>
struct LinkTaken {
  T write_weights[lanes<T>], precedence[lanes<T>], read_weights[count][lanes<T>];
};
template <class T, Size count>
struct LinkSums {
  T backward[count][lanes<T>];
};
template <class T, Size count>
using LinkColumns = Columns<LinkTaken<T, count>, LinkSums<T, count>>;

// Of a part of all sums, what those who take a row together have added up.
template <class T, class Columns, class Part>
MEMNETS_INLINE Vector<T> summed(const Columns& columns, Size n, Part part) {
  Vector<T> sum = load(part(columns.sums(n / lanes<T>, 0)));
  for (Size m = 1; m < members(); ++m) sum = sum + load(part(columns.sums(n / lanes<T>, m)));
  return sum;
}

// L_ij = (1 - w_i - w_j) L_ij + w_i p_j off the diagonal, in place; of all `count` readers, what is to be
// summed for forward = L w_r, and backward += L^T w_r. Rows first ... first + rows - 1.
template <class T, Size count, Size rows, Pass pass>
MEMNETS_INLINE void link_rows(Shape shape, Links<T> links, Size first, T* kept_link, T* link,
                              LinkColumns<T, count> columns, Vector<T> (&ahead)[rows][count]) {
  Vector<T> kept[rows], to[rows], weight[rows][count];
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
  T* own = link + first * shape.length;
  T* record = pass == Pass::update_and_keep ? kept_link + first * shape.length : nullptr;
  along_rows<T>(shape.length, first, [&](Size n, auto meets) MEMNETS_ALWAYS {
    const LinkTaken<T, count>& column = columns.taken(n / lanes<T>);
    LinkSums<T, count>& sums = columns.sums(n / lanes<T>);
    Vector<T> value[rows];
    MEMNETS_UNROLL
    for (Size i = 0; i < rows; ++i) {
      T* at = own + i * shape.length + n;
      value[i] = load(at);
      if constexpr (pass != Pass::directional_weights) {
        const Vector<T> since = load(column.write_weights), previous = load(column.precedence);
        value[i] = multiply_add(kept[i] - since, value[i], to[i] * previous);
        value[i] = off_diagonal<T, meets>(value[i], first + i, n);
        store(value[i], at);
        if constexpr (pass == Pass::update_and_keep) store_away(value[i], record + i * shape.length + n);
      }
    }
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) {
      const Vector<T> read = load(column.read_weights[r]);
      Vector<T> back = load(sums.backward[r]);
      MEMNETS_UNROLL
      for (Size i = 0; i < rows; ++i) {
        ahead[i][r] = multiply_add(value[i], read, ahead[i][r]);
        back = multiply_add(value[i], weight[i][r], back);
      }
      store(back, sums.backward[r]);
    }
  });
}

template <class T, Size count>
MEMNETS_INLINE void take_columns(Shape shape, Links<T> links, LinkColumns<T, count> columns) {
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    LinkTaken<T, count>& column = columns.taken(n / lanes<T>);
    if (leads()) {
      store(load(links.write_weights + n), column.write_weights);
      store(load(links.precedence + n), column.precedence);
    }
    for (Size r = 0; r < count; ++r) {
      if (leads()) store(load(links.read_weights + r * shape.length + n), column.read_weights[r]);
      store(Vector<T>(0), columns.sums(n / lanes<T>).backward[r]);
    }
  }
}

template <class T, Size count, Pass pass>
inline void link_pass(Shape shape, Links<T> links, T* kept, T* link, T* backward, T* forward,
                      Size stride) {
  const LinkColumns<T, count> columns(links.columns, shape.length / lanes<T>);
  take_columns<T, count>(shape, links, columns);
  row_barrier();  // all take what the first has stored, and the weights of a row's slot
  const Interval own = own_rows(shape.slots, together);
  sums_of_rows<T, count, together>(
      own.end - own.first,
      [=](Size i, auto rows, auto& ahead) MEMNETS_ALWAYS {
        link_rows<T, count, decltype(rows)::value, pass>(shape, links, own.first + i, kept, link, columns,
                                                         ahead);
      },
      [=](Size i, const T (&ahead)[count]) MEMNETS_ALWAYS {
        MEMNETS_UNROLL
        for (Size r = 0; r < count; ++r) forward[r * stride + own.first + i] = ahead[r];
      });
  row_barrier();  // all sums are there
  each_divided(count, [=](Size r) {
    zero_padding(forward + r * stride, shape.slots, shape.length);
    const auto part = [=](const LinkSums<T, count>& sums) MEMNETS_ALWAYS { return sums.backward[r]; };
    for (Size n = 0; n < shape.length; n += lanes<T>)
      store(summed<T>(columns, n, part), backward + r * stride + n);
  });
  row_barrier();  // the first goes on with them, all with the next readers
}

template <class T, Pass pass>
MEMNETS_SIZED void link_chunk(Size count, Shape shape, Links<T> links, T* kept, T* link, T* backward,
                              T* forward, Size stride) {
  if (count == 1) return link_pass<T, 1, pass>(shape, links, kept, link, backward, forward, stride);
  if (count == 2) return link_pass<T, 2, pass>(shape, links, kept, link, backward, forward, stride);
  if (count == 3) return link_pass<T, 3, pass>(shape, links, kept, link, backward, forward, stride);
  link_pass<T, 4, pass>(shape, links, kept, link, backward, forward, stride);
}

// `link` is that of the step before and becomes this one's, also in `kept` where that is not null.
// backward, forward: reader r's row begins at r * stride; both are set.
template <class T>
MEMNETS_SIZED void update_link(Shape shape, Size readers, Links<T> links, T* kept, T* link, T* backward,
                               T* forward, Size stride) {
  for (Size r = 0; r < readers; r += 4) {
    const Size count = std::min<Size>(4, readers - r);
    if (r > 0)
      link_chunk<T, Pass::directional_weights>(count, shape, links, kept, link, backward, forward, stride);
    else if (kept)
      link_chunk<T, Pass::update_and_keep>(count, shape, links, kept, link, backward, forward, stride);
    else
      link_chunk<T, Pass::update>(count, shape, links, kept, link, backward, forward, stride);
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

// A link of some steps before, and what these did to it.
template <class T>
struct PastLink {
  const T* link;  // [N, length]
  Size steps;
  const T* write_weights[most_past];
  const T* precedence[most_past];
};

// As LinkTaken and LinkSums, for the way back.
template <class T, Size count, Size past>
struct LinkGradientTaken {
  T past_write_weights[some(past)][lanes<T>], past_precedence[some(past)][lanes<T>];
  T write_weights[lanes<T>], precedence[lanes<T>];
  T read_weights[count][lanes<T>], d_backward[count][lanes<T>];
};
template <class T, Size count>
struct LinkGradientSums {
  T write_weights[lanes<T>], precedence[lanes<T>], read_weights[count][lanes<T>];
};
template <class T, Size count, Size past>
using LinkGradientColumns = Columns<LinkGradientTaken<T, count, past>, LinkGradientSums<T, count>>;

// First the link before, of `past` steps before that; then the readings: d_link += d_f w^T + w d_b^T, and
// the read weights' gradients, which need the link after (but for w p^T: added_link_backward); then, in
// the last chunk of readers, the update itself. Of each row is to be summed what the read weights get, reader
// by reader, and what the write weight does.
template <class T, Size count, Size past, Size rows, bool update>
MEMNETS_INLINE void link_rows_backward(Shape shape, Links<T> links, const PastLink<T>& from, Size first,
                                       LinkGradients<T> d, LinkGradientColumns<T, count, past> columns,
                                       Vector<T> (&sums)[rows][count + 1]) {
  Vector<T> kept[rows], to[rows], ahead[rows][count], weight[rows][count];
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i) {
    const T w = links.write_weights[first + i];
    kept[i] = Vector<T>(1 - w);
    to[i] = Vector<T>(w);
    sums[i][count] = Vector<T>(0);
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) {
      sums[i][r] = Vector<T>(0);
      ahead[i][r] = Vector<T>(d.forward[r * d.stride + first + i]);
      weight[i][r] = Vector<T>(links.read_weights[r * shape.length + first + i]);
    }
  }
  Vector<T> past_kept[rows][some(past)], past_to[rows][some(past)];
  MEMNETS_UNROLL
  for (Size i = 0; i < rows; ++i)
    MEMNETS_UNROLL
    for (Size step = 0; step < past; ++step) {
      const T w = from.write_weights[step][first + i];
      past_kept[i][step] = Vector<T>(1 - w);
      past_to[i][step] = Vector<T>(w);
    }
  const T* before = from.link + first * shape.length;
  T* d_link = d.link + first * shape.length;
  along_rows<T>(shape.length, first, [&](Size n, auto meets) MEMNETS_ALWAYS {
    const LinkGradientTaken<T, count, past>& column = columns.taken(n / lanes<T>);
    LinkGradientSums<T, count>& more = columns.sums(n / lanes<T>);
    const Vector<T> since = load(column.write_weights), previous = load(column.precedence);
    Vector<T> d_since = load(more.write_weights), d_previous = load(more.precedence);
    Vector<T> value[rows], old[rows], g[rows];
    MEMNETS_UNROLL
    for (Size i = 0; i < rows; ++i) {
      const Size at = i * shape.length + n;
      prefetch(before + at + 2 * rows * shape.length);
      old[i] = load(before + at);
      MEMNETS_UNROLL
      for (Size step = 0; step < past; ++step) {
        const Vector<T> w = load(column.past_write_weights[step]);
        const Vector<T> p = load(column.past_precedence[step]);
        old[i] = multiply_add(past_kept[i][step] - w, old[i], past_to[i][step] * p);
        old[i] = off_diagonal<T, meets>(old[i], first + i, n);
      }
      g[i] = load(d_link + at);
      value[i] = off_diagonal<T, meets>((kept[i] - since) * old[i], first + i, n);
    }
    MEMNETS_UNROLL
    for (Size r = 0; r < count; ++r) {
      const Vector<T> d_back = load(column.d_backward[r]), read = load(column.read_weights[r]);
      Vector<T> d_read = load(more.read_weights[r]);
      MEMNETS_UNROLL
      for (Size i = 0; i < rows; ++i) {
        d_read = multiply_add(ahead[i][r], value[i], d_read);
        sums[i][r] = multiply_add(value[i], d_back, sums[i][r]);
        g[i] = multiply_add(ahead[i][r], read, g[i]);
        g[i] = multiply_add(weight[i][r], d_back, g[i]);
      }
      store(d_read, more.read_weights[r]);
    }
    MEMNETS_UNROLL
    for (Size i = 0; i < rows; ++i) {
      if constexpr (update) {
        g[i] = off_diagonal<T, meets>(g[i], first + i, n);
        sums[i][count] = multiply_add(g[i], previous - old[i], sums[i][count]);
        d_since = d_since - g[i] * old[i];
        d_previous = multiply_add(g[i], to[i], d_previous);
        g[i] = g[i] * (kept[i] - since);
      }
      store(g[i], d_link + i * shape.length + n);
    }
    store(d_since, more.write_weights);
    store(d_previous, more.precedence);
  });
}

// What w p^T, which the step added to the link off its diagonal, leaves of reader r for the gradient of its
// weights, d_f^T L + L d_b: a product of vectors, and no part of the pass over the link.
template <class T>
MEMNETS_INLINE void added_link_backward(Shape shape, Links<T> links, LinkGradients<T> d, Size r) {
  const T *d_back = d.backward + r * d.stride, *d_ahead = d.forward + r * d.stride;
  const Vector<T> ahead(dot(links.write_weights, d_ahead, shape.length));
  const Vector<T> back(dot(links.precedence, d_back, shape.length));
  T* d_read = d.read_weights + r * shape.length;
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    const Vector<T> w = load(links.write_weights + n), p = load(links.precedence + n);
    const Vector<T> to_ahead = p * (ahead - w * load(d_ahead + n));
    store(load(d_read + n) + multiply_add(w, back - p * load(d_back + n), to_ahead), d_read + n);
  }
}

template <class T, Size count, Size past>
MEMNETS_INLINE void take_columns_backward(Shape shape, Links<T> links, const PastLink<T>& from,
                                          LinkGradients<T> d, LinkGradientColumns<T, count, past> columns) {
  for (Size n = 0; n < shape.length; n += lanes<T>) {
    LinkGradientSums<T, count>& sums = columns.sums(n / lanes<T>);
    store(Vector<T>(0), sums.write_weights);
    store(Vector<T>(0), sums.precedence);
    for (Size r = 0; r < count; ++r) store(Vector<T>(0), sums.read_weights[r]);
    if (!leads()) continue;
    LinkGradientTaken<T, count, past>& column = columns.taken(n / lanes<T>);
    store(load(links.write_weights + n), column.write_weights);
    store(load(links.precedence + n), column.precedence);
    for (Size step = 0; step < past; ++step) {
      store(load(from.write_weights[step] + n), column.past_write_weights[step]);
      store(load(from.precedence[step] + n), column.past_precedence[step]);
    }
    for (Size r = 0; r < count; ++r) {
      store(load(links.read_weights + r * shape.length + n), column.read_weights[r]);
      store(load(d.backward + r * d.stride + n), column.d_backward[r]);
    }
  }
}

template <class T, Size count, Size past, bool update>
inline void link_pass_backward(Shape shape, Links<T> links, const PastLink<T>& from,
                               LinkGradients<T> d) {
  using Taken = LinkGradientTaken<T, count, past>;
  using Sums = LinkGradientSums<T, count>;
  constexpr std::size_t row = lanes<T> * sizeof(T);
  static_assert(sizeof(Taken) <= link_taken * row && sizeof(Sums) <= link_sums * row);
  const LinkGradientColumns<T, count, past> columns(links.columns, shape.length / lanes<T>);
  take_columns_backward<T, count, past>(shape, links, from, d, columns);
  row_barrier();  // all take what the first has stored, and the weights of a row's slot
  const Interval own = own_rows(shape.slots, together);
  sums_of_rows<T, count + 1, together>(
      own.end - own.first,
      [&](Size i, auto rows, auto& sums) MEMNETS_ALWAYS {
        link_rows_backward<T, count, past, decltype(rows)::value, update>(shape, links, from, own.first + i,
                                                                          d, columns, sums);
      },
      [=](Size i, const T (&sums)[count + 1]) MEMNETS_ALWAYS {
        d.write_weights[own.first + i] += sums[count];
        MEMNETS_UNROLL
        for (Size r = 0; r < count; ++r) d.read_weights[r * shape.length + own.first + i] += sums[r];
      });
  row_barrier();  // all sums are there
  const auto add = [&](auto part, T* to) MEMNETS_ALWAYS {
    for (Size n = 0; n < shape.length; n += lanes<T>)
      store(load(to + n) + summed<T>(columns, n, part), to + n);
  };
  each_divided(2 + count, [&](Size k) {
    const Size r = k - 2;
    if (k == 0) return add([](const Sums& sums) { return sums.write_weights; }, d.write_weights);
    if (k == 1) return add([](const Sums& sums) { return sums.precedence; }, d.precedence);
    add([=](const Sums& sums) { return sums.read_weights[r]; }, d.read_weights + r * shape.length);
    added_link_backward(shape, links, d, r);
  });
  row_barrier();  // the first goes on with them, all with the next readers
}

template <class T, Size past, bool update>
MEMNETS_SIZED void link_chunk_backward(Size count, Shape shape, Links<T> links, const PastLink<T>& from,
                                       LinkGradients<T> d) {
  if (count == 1) return link_pass_backward<T, 1, past, update>(shape, links, from, d);
  if (count == 2) return link_pass_backward<T, 2, past, update>(shape, links, from, d);
  if (count == 3) return link_pass_backward<T, 3, past, update>(shape, links, from, d);
  link_pass_backward<T, 4, past, update>(shape, links, from, d);
}

template <class T, Size past>
MEMNETS_SIZED void link_chunks_backward(Shape shape, Size readers, Links<T> links,
                                        const PastLink<T>& from, LinkGradients<T> d) {
  for (Size r = 0; r < readers; r += 4) {
    const Size count = std::min<Size>(4, readers - r);
    if (r + 4 >= readers)
      link_chunk_backward<T, past, true>(count, shape, links, from, d);
    else
      link_chunk_backward<T, past, false>(count, shape, links, from, d);
    links.read_weights += 4 * shape.length;
    d.read_weights += 4 * shape.length;
    d.backward += 4 * d.stride;
    d.forward += 4 * d.stride;
  }
}

template <class T>
MEMNETS_SIZED void update_link_backward(Shape shape, Size readers, Links<T> links,
                                        const PastLink<T>& from, LinkGradients<T> d) {
  static_assert(most_past == 3);
  if constexpr (remakes_links) {
    if (from.steps == 1) return link_chunks_backward<T, 1>(shape, readers, links, from, d);
    if (from.steps == 2) return link_chunks_backward<T, 2>(shape, readers, links, from, d);
    if (from.steps == 3) return link_chunks_backward<T, 3>(shape, readers, links, from, d);
  }
  link_chunks_backward<T, 0>(shape, readers, links, from, d);
}

}  // namespace memnets
