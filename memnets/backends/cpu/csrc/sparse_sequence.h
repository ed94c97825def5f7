// Several steps of a layer with a sparse memory whose controller is one LSTM, for all rows of the batch:
// the controller, its interface and the memory, forward and backward (docs/derivations.md).
#pragma once

#include "cells.h"
#include "direct.h"
#include "sparse_step.h"

namespace memnets {

// to += factors weights, of `rows` rows of weights: four at once, which load and store `to` once.
template <class T>
void add_products_transposed(const T* factors, const T* weights, Size stride, Size rows, T* to, Size size) {
  Size i = 0;
  for (; i + 4 <= rows; i += 4, weights += 4 * stride)
    each<T>(size, [&](Size n, Size count) {
      Vector<T> sum = load(to + n, count);
      MEMNETS_UNROLL
      for (Size j = 0; j < 4; ++j)
        sum = multiply_add(Vector<T>(factors[i + j]), load(weights + j * stride + n, count), sum);
      store(sum, to + n, count);
    });
  for (; i < rows; ++i, weights += stride) add_times(factors[i], weights, to, size);
}

template <class T>
class SparseSteps {
 public:
  explicit SparseSteps(const SparseSequence& sequence)
      : s(sequence),
        batch(s.first->batch),
        hidden(s.hidden),
        reads(s.first->read_heads * s.first->word) {
    controller_.put(numbers(s.input_weights), s.input_stride, 0, 4 * hidden, 0, reads);
    recurrence_.put(numbers(s.own_weights), hidden, 0, 4 * hidden, 0, hidden);
    interface_.put(numbers(s.interface_weights), hidden, 0, s.numbers, 0, hidden);
  }

  // How many steps were done: less than all if the state names slots that there are not.
  Size forward() const {
    for (Size t = 0; t < s.time; ++t) {
      control(t);
      const SparseStep step = step_at(t);
      for (Size b = 0; b < batch; ++b)
        if (!SparseRow<T>(step, b).choose()) return t;
      for (Size b = 0; b < batch; ++b) SparseRow<T>(step, b).forward();
    }
    return s.time;
  }

  void backward() const {
    std::vector<T> d_h(batch * hidden), d_reads(batch * reads);
    // The gradient of the weights of the last read: what a step makes, and what it gets. The step that is
    // gone through last makes it where the caller looks for it.
    T* d_weights[2] = {numbers(s.first->d_read_weights), numbers(s.d_weights)};
    if (s.time % 2 == 0) std::swap(d_weights[0], d_weights[1]);
    for (Size t = s.time - 1; t >= 0; --t) {
      add_outer(s.d_h, t, hidden, d_h);
      add_outer(s.d_read_vectors, t, reads, d_reads);
      SparseStep step = step_at(t);
      step.d_read_vectors = d_reads.data();
      if (t + 1 < s.time) {
        step.d_next_read_weights = d_weights[1];
        step.d_next_write_weights = nullptr;
      }
      step.d_read_weights = d_weights[0];
      for (Size b = 0; b < batch; ++b) SparseRow<T>(step, b).backward();
      std::swap(d_weights[0], d_weights[1]);
      control_backward(t, d_h, d_reads);
    }
    std::copy(d_h.begin(), d_h.end(), numbers(s.d_start_h));
    std::copy(d_reads.begin(), d_reads.end(), numbers(s.d_start_reads));
  }

 private:
  static T* numbers(void* all) { return static_cast<T*>(all); }

  // From what was read the step before to what the heads receive.
  void control(Size t) const {
    T* gates = numbers(s.gates) + t * batch * 4 * hidden;
    T* h = numbers(s.h) + (t + 1) * batch * hidden;
    T* cell = numbers(s.cell) + t * batch * hidden;
    controller_.multiply(batch, numbers(s.read_vectors) + t * batch * reads, reads, gates, 4 * hidden);
    recurrence_.multiply(batch, h - batch * hidden, hidden, gates, 4 * hidden);
    for (Size b = 0; b < batch; ++b)
      lstm<T>({hidden, gates + b * 4 * hidden, nullptr, cell + b * hidden, cell + (batch + b) * hidden},
              h + b * hidden);
    T* raw = numbers(s.raw) + t * batch * s.numbers;
    T* values = numbers(s.values) + t * batch * s.numbers;
    for (Size b = 0; b < batch; ++b) std::copy_n(numbers(s.interface_bias), s.numbers, raw + b * s.numbers);
    interface_.multiply(batch, h, hidden, raw, s.numbers);
    for (Size b = 0; b < batch; ++b)
      field_values(s.fields, s.fields_count, raw + b * s.numbers, values + b * s.numbers);
  }

  // d_h and d_reads are those of this step, and become those of the step before.
  void control_backward(Size t, std::vector<T>& d_h, std::vector<T>& d_reads) const {
    const Size first = t * batch;
    for (Size b = 0; b < batch; ++b) {
      const Size row = first + b;
      T* d = d_h.data() + b * hidden;
      T* d_raw = numbers(s.d_raw) + row * s.numbers;
      field_values_backward(s.fields, s.fields_count, numbers(s.raw) + row * s.numbers,
                            numbers(s.values) + row * s.numbers, numbers(s.d_values) + b * s.numbers,
                            d_raw);
      add_products_transposed(d_raw, numbers(s.interface_weights), hidden, s.numbers, d, hidden);
      T* d_gates = numbers(s.d_gates) + row * 4 * hidden;
      T* cell = numbers(s.cell) + row * hidden;
      lstm_backward<T>({hidden, numbers(s.gates) + row * 4 * hidden, nullptr, cell, cell + batch * hidden},
                       d, numbers(s.d_cell) + b * hidden, d_gates);
      T* d_read = d_reads.data() + b * reads;
      std::fill_n(d, hidden, T(0));
      std::fill_n(d_read, reads, T(0));
      add_products_transposed(d_gates, numbers(s.own_weights), hidden, 4 * hidden, d, hidden);
      add_products_transposed(d_gates, numbers(s.input_weights), s.input_stride, 4 * hidden, d_read, reads);
    }
  }

  void add_outer(const void* all, Size t, Size size, std::vector<T>& to) const {
    if (all) add(to.data(), static_cast<const T*>(all) + t * batch * size, batch * size);
  }

  // Moves addresses on by so many numbers, slots or times; null stays null.
  template <class... Pointers>
  static void advance(Size size, Pointers*&... all) {
    const auto moved = [size](auto* one) {
      using Pointed = std::remove_pointer_t<decltype(one)>;
      using Value = std::conditional_t<std::is_const_v<Pointed>, const T, T>;
      if constexpr (std::is_void_v<Pointed>)
        return static_cast<Pointed*>(static_cast<Value*>(one) + size);
      else
        return one + size;
    };
    ((all = all ? moved(all) : nullptr), ...);
  }

  SparseStep step_at(Size t) const {
    SparseStep p = *s.first;
    const Size n = t * batch, read = n * p.read_heads * p.count;
    const Size written = n * p.write_heads * (p.count + 1), linked = n * p.links;
    const Size near = written * (1 + 2 * p.links) + linked;
    advance(n, p.steps, p.written, p.next_steps, p.next_written);
    advance(read, p.read_slots, p.read_weights, p.next_read_slots, p.next_read_weights);
    advance(written, p.next_write_slots, p.next_write_weights);
    advance(linked, p.precedence_slots, p.precedence_weights, p.next_precedence_slots,
            p.next_precedence_weights);
    advance(n * s.numbers, p.read_keys, p.read_strengths, p.write_gates, p.reuse_gates, p.write_vectors,
            p.read_modes);
    advance(n * reads, p.read_vectors);
    advance((p.links ? 2 : 1) * read + written, p.rows);
    advance(n * SparseRow<T>::kept_size(p), p.kept);
    advance(read * (2 * p.links + 1), p.merged);
    advance(written * p.word, p.old_words);
    advance(read + written, p.old_accessed);
    advance(near, p.link_rows);
    advance(near * p.links, p.old_before_slots, p.old_before_weights, p.old_after_slots,
            p.old_after_weights);
    return p;
  }

  const SparseSequence& s;
  Size batch, hidden, reads;
  Direct<T> controller_, recurrence_, interface_;
};

}  // namespace memnets
