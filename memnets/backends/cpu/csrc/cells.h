// The controller's cells and the interface's ranges, for one row of the batch (docs/derivations.md,
// under the same names). A cell turns what its product left in `gates` into activated values, in
// place, and its backward turns the gradient of h into those of what the activations take.
#pragma once

#include "problem.h"

namespace memnets {

template <class T>
struct CellRow {
  Size hidden;
  T* gates;          // [rows], activated in place
  const T* h_before;  // of a GRU
  const T* c_before;  // of an LSTM
  T* c;
};

template <class T>
inline void lstm(const CellRow<T>& row, T* h) {
  each<T>(row.hidden, [&](Size n, Size count) {
    const Size hidden = row.hidden;
    const Vector<T> i = sigmoid(load(row.gates + n, count));
    const Vector<T> f = sigmoid(load(row.gates + hidden + n, count));
    const Vector<T> g = tanh(load(row.gates + 2 * hidden + n, count));
    const Vector<T> o = sigmoid(load(row.gates + 3 * hidden + n, count));
    const Vector<T> c = multiply_add(f, load(row.c_before + n, count), i * g);
    store(i, row.gates + n, count);
    store(f, row.gates + hidden + n, count);
    store(g, row.gates + 2 * hidden + n, count);
    store(o, row.gates + 3 * hidden + n, count);
    store(c, row.c + n, count);
    store(o * tanh(c), h + n, count);
  });
}

// d_h and d_c come in; d_c becomes that of the step before.
template <class T>
inline void lstm_backward(const CellRow<T>& row, const T* d_h, T* d_c, T* d_gates) {
  const Vector<T> one(1);
  each<T>(row.hidden, [&](Size n, Size count) {
    const Size hidden = row.hidden;
    const Vector<T> i = load(row.gates + n, count), f = load(row.gates + hidden + n, count);
    const Vector<T> g = load(row.gates + 2 * hidden + n, count);
    const Vector<T> o = load(row.gates + 3 * hidden + n, count);
    const Vector<T> bent = tanh(load(row.c + n, count)), d = load(d_h + n, count);
    const Vector<T> dc = multiply_add(d * o, one - bent * bent, load(d_c + n, count));
    store(dc * g * i * (one - i), d_gates + n, count);
    store(dc * load(row.c_before + n, count) * f * (one - f), d_gates + hidden + n, count);
    store(dc * i * (one - g * g), d_gates + 2 * hidden + n, count);
    store(d * bent * o * (one - o), d_gates + 3 * hidden + n, count);
    store(dc * f, d_c + n, count);
  });
}

// Four blocks: reset, update, the new value's part without h(t-1), and its part with it, which is
// kept as it is. n = tanh(third + reset * fourth), h = n + update * (h_before - n).
template <class T>
inline void gru(const CellRow<T>& row, T* h) {
  each<T>(row.hidden, [&](Size n, Size count) {
    const Size hidden = row.hidden;
    const Vector<T> reset = sigmoid(load(row.gates + n, count));
    const Vector<T> update = sigmoid(load(row.gates + hidden + n, count));
    const Vector<T> own = load(row.gates + 3 * hidden + n, count);
    const Vector<T> fresh = tanh(multiply_add(reset, own, load(row.gates + 2 * hidden + n, count)));
    store(reset, row.gates + n, count);
    store(update, row.gates + hidden + n, count);
    store(fresh, row.gates + 2 * hidden + n, count);
    store(multiply_add(update, load(row.h_before + n, count) - fresh, fresh), h + n, count);
  });
}

// d_h_before is set to the direct part, update * d_h.
template <class T>
inline void gru_backward(const CellRow<T>& row, const T* d_h, T* d_h_before, T* d_gates) {
  const Vector<T> one(1);
  each<T>(row.hidden, [&](Size n, Size count) {
    const Size hidden = row.hidden;
    const Vector<T> reset = load(row.gates + n, count);
    const Vector<T> update = load(row.gates + hidden + n, count);
    const Vector<T> fresh = load(row.gates + 2 * hidden + n, count);
    const Vector<T> own = load(row.gates + 3 * hidden + n, count), d = load(d_h + n, count);
    const Vector<T> d_fresh = d * (one - update) * (one - fresh * fresh);
    store(d_fresh * own * reset * (one - reset), d_gates + n, count);
    store(d * (load(row.h_before + n, count) - fresh) * update * (one - update), d_gates + hidden + n,
          count);
    store(d_fresh, d_gates + 2 * hidden + n, count);
    store(d_fresh * reset, d_gates + 3 * hidden + n, count);
    store(d * update, d_h_before + n, count);
  });
}

// Of the feed-forward tanh as well, whose gates have no part of the step before.
template <class T>
inline void elman(const CellRow<T>& row, T* h) {
  each<T>(row.hidden, [&](Size n, Size count) {
    const Vector<T> value = tanh(load(row.gates + n, count));
    store(value, row.gates + n, count);
    store(value, h + n, count);
  });
}

template <class T>
inline void elman_backward(const CellRow<T>& row, const T* d_h, T* d_gates) {
  each<T>(row.hidden, [&](Size n, Size count) {
    const Vector<T> value = load(row.gates + n, count);
    store(load(d_h + n, count) * (Vector<T>(1) - value * value), d_gates + n, count);
  });
}

template <class T>
inline void feedforward(const CellRow<T>& row, T* h) {
  each<T>(row.hidden, [&](Size n, Size count) {
    const Vector<T> value = maximum(load(row.gates + n, count), Vector<T>(0));
    store(value, row.gates + n, count);
    store(value, h + n, count);
  });
}

template <class T>
inline void feedforward_backward(const CellRow<T>& row, const T* d_h, T* d_gates) {
  each_alone(row.hidden, [&](Size n) { d_gates[n] = row.gates[n] > 0 ? d_h[n] : T(0); });
}

// The interface's numbers into their ranges.
template <class T>
inline void field_values(const Field* fields, Size count, const T* raw, T* values) {
  for (Size f = 0; f < count; ++f) {
    const Field& field = fields[f];
    const T* from = raw + field.start;
    T* to = values + field.start;
    switch (static_cast<Range>(field.range)) {
      case Range::real: copy(to, from, field.count); break;
      case Range::unit:
        each<T>(field.count,
                [&](Size n, Size part) { store(sigmoid(load(from + n, part)), to + n, part); });
        break;
      case Range::oneplus:
        each<T>(field.count, [&](Size n, Size part) {
          store(Vector<T>(1) + softplus(load(from + n, part)), to + n, part);
        });
        break;
      case Range::positive:
        each<T>(field.count,
                [&](Size n, Size part) { store(softplus(load(from + n, part)), to + n, part); });
        break;
      case Range::simplex:
        each_alone(field.count / field.group, [&](Size index) {
          const Size start = index * field.group, end = start + field.group;
          T largest = from[start], sum = 0;
          for (Size n = start + 1; n < end; ++n) largest = std::max(largest, from[n]);
          for (Size n = start; n < end; ++n) sum += to[n] = exponential(from[n] - largest);
          for (Size n = start; n < end; ++n) to[n] /= sum;
        });
        break;
      case Range::bounded:
        each<T>(field.count,
                [&](Size n, Size part) { store(tanh(load(from + n, part)), to + n, part); });
        break;
    }
    // A simplex has no limit: each lane finds its own numbers here.
    if (std::isfinite(field.limit))
      each_alone(field.count,
                 [&](Size n) { to[n] = to[n] > T(field.limit) ? T(field.limit) : to[n]; });
  }
}

template <class T>
inline void field_values_backward(const Field* fields, Size count, const T* raw, const T* values,
                                  const T* d_values, T* d_raw) {
  barrier();  // d_values has numbers of all lanes
  for (Size f = 0; f < count; ++f) {
    const Field& field = fields[f];
    const T* y = values + field.start;
    const T* x = raw + field.start;
    const T* dy = d_values + field.start;
    T* dx = d_raw + field.start;
    switch (static_cast<Range>(field.range)) {
      case Range::real: copy(dx, dy, field.count); break;
      case Range::unit:
        each_alone(field.count, [&](Size n) { dx[n] = dy[n] * y[n] * (1 - y[n]); });
        break;
      case Range::oneplus:
      case Range::positive:
        each_alone(field.count, [&](Size n) { dx[n] = dy[n] * sigmoid(x[n]); });
        break;
      case Range::simplex:
        each_alone(field.count / field.group, [&](Size index) {
          const Size start = index * field.group, end = start + field.group;
          T mean = 0;
          for (Size n = start; n < end; ++n) mean += y[n] * dy[n];
          for (Size n = start; n < end; ++n) dx[n] = y[n] * (dy[n] - mean);
        });
        break;
      case Range::bounded:
        each_alone(field.count, [&](Size n) { dx[n] = dy[n] * (1 - y[n] * y[n]); });
        break;
    }
    // A number that came to the limit exactly has no gradient here, and torch's clamp gives it one.
    if (std::isfinite(field.limit))
      each_alone(field.count, [&](Size n) { dx[n] = y[n] >= T(field.limit) ? T(0) : dx[n]; });
  }
}

}  // namespace memnets
