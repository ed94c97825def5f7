// The loop over time, for a thread's own rows of the batch: forward, then backward. On a GPU a block of
// warps stands for a thread, and as many of them take each of its rows together.
//
// Rows do not see each other, so that a thread takes its rows through all steps without waiting for
// another. The controller's products are for all of a thread's rows at once; the memory runs row by
// row. Gradients of weights come after the loop: they are products over all steps at once (gradients.h).
#pragma once

#include "cells.h"

namespace memnets {

// `Given` is a Problem, or one whose sizes the compiler knows; `Weights` as in weights.h.
template <class T, class Given, class Memory, class Weights>
class Rows {
 public:
  Rows(const Given& problem, const Weights& weights, Size first, Size count, Arena<T>& arena)
      : p_(problem),
        weights_(weights),
        arena_(arena),
        memory_(problem, arena.take_for_each(Memory(problem).work_size())),
        first_(first),
        count_(count),
        outputs_(problem.hidden * (problem.skip ? problem.depth : 1)),
        reads_(problem.read_heads * problem.word),
        written_(memory_.written_size()),
        links_(memory_.running_size()),
        kept_(memory_.kept_size()) {}

  // Every step of a sequence keeps what a backward needs, for `segment` steps at once, and of that
  // what can be written again for `span` steps; where the next segment or span begins, the state that
  // it begins from is kept for all.
  void forward() {
    running_ = arena_.take(count_ * memory_.running_size());
    begin();
    for (Size t = 0; t < p_.time; ++t) {
      if (p_.starts)
        each_row([&](Size b) {
          if (starts(t, b)) begin_anew(t, b);
        });
      if (p_.checkpoints && t % p_.span == 0) keep(t);
      for (Size l = 0; l < p_.depth; ++l) layer_forward(t, l);
      interface_forward(t);
      each_row_together([&](Size b) {
        if (t < length(b)) memory_forward(t, b);
      });
      if constexpr (Weights::inputs_and_readout)
        if (p_.logits) readout(t);
    }
  }

  void backward() {
    const Size hidden = p_.hidden;
    carry_ = arena_.take(count_ * memory_.carry_size());
    d_reads_ = arena_.take(count_ * reads_);
    d_values_ = arena_.take_for_each(p_.numbers);
    d_outputs_ = arena_.take(count_ * outputs_);
    d_below_ = arena_.take(count_ * hidden);
    d_own_ = arena_.take(p_.depth * count_ * hidden);
    d_c_ = arena_.take(p_.depth * count_ * hidden);
    if (p_.starts) d_fresh_ = arena_.take(count_ * memory_.carry_size());
    Size widest = 0;
    for (Size l = 0; l < p_.depth; ++l) widest = std::max(widest, Size(p_.layers[l].width));
    d_z_ = arena_.take(count_ * widest);
    zeros_ = arena_.take(std::max(widest, outputs_ + reads_));
    if (p_.d_y) d_seen_ = arena_.take(count_ * (outputs_ + reads_));
    if (p_.checkpoints) {
      running_ = arena_.take(count_ * memory_.running_size());
      unused_ = arena_.take_for_each(reads_);
    }
    for (Size t = p_.time - 1; t >= 0; --t) {
      // The forward left the records of the last span; those of the others are made again.
      const bool last = t == p_.time - 1;
      const bool gone = last ? p_.records_spent != 0 : (t + 1) % p_.span == 0;
      if (p_.checkpoints && gone) repeat(t - t % p_.span, t + 1);
      if constexpr (Weights::inputs_and_readout)
        if (p_.d_y) readout_backward(t);
      each_row_together([&](Size b) { memory_backward(t, b); });
      interface_backward(t);
      for (Size l = p_.depth - 1; l >= 0; --l) layer_backward(t, l);
      if (p_.starts)
        each_row([&](Size b) {
          if (starts(t, b)) begin_anew_backward(b);
        });
    }
    finish();
  }

 private:
  // Calls body(b) for each row, in all who take it together; when it returns, all rows are done.
  template <class Body>
  MEMNETS_INLINE void each_row_together(Body body) const {
    for (Size b = first_ + worker(); b < first_ + count_; b += workers()) body(b);
    block_barrier();
  }
  // In the first of them alone.
  template <class Body>
  MEMNETS_INLINE void each_row(Body body) const {
    each_row_together([&](Size b) MEMNETS_ALWAYS {
      if (leads()) body(b);
    });
  }
  Size length(Size b) const { return p_.lengths ? p_.lengths[b] : p_.time; }
  // Whether the row begins anew before step t.
  bool starts(Size t, Size b) const { return p_.starts && p_.starts[int64_t(t) * p_.batch + b]; }
  bool began_anew_before(Size t, Size b) const {
    for (Size earlier = t - 1; earlier >= 0; --earlier)
      if (starts(earlier, b)) return true;
    return false;
  }
  int64_t kept(Size t) const { return t * p_.times_kept; }
  static T* at(void* base, int64_t row, Size width) { return static_cast<T*>(base) + row * width; }
  T* z(const Layer& layer, Size t, Size b) const {
    return at(layer.z, kept(t) * p_.batch + b, layer.width);
  }
  // The record of the state before step t, of the last `segment` steps and the one before them.
  Record<T> record(Size t, Size b) const {
    const Size sets = p_.segment / p_.links_every + 1;
    const bool linked = p_.links && t % p_.links_every == 0;
    return {at(p_.written, b * (p_.span + 1) + t % (p_.span + 1), written_),
            at(p_.records, b * (p_.segment + 1) + t % (p_.segment + 1), kept_),
            linked ? at(p_.links, b * sets + t / p_.links_every % sets, links_) : nullptr};
  }
  // That of a row that begins anew. It has a place of its own: step t - 1 needs for its backward what
  // it left in the record before step t.
  Record<T> fresh(Size b) const {
    T* place = at(p_.fresh, b, written_ + kept_ + (p_.links ? links_ : 0));
    return {place, place + written_, p_.links ? place + written_ + kept_ : nullptr};
  }
  Record<T> before(Size t, Size b) const { return starts(t, b) ? fresh(b) : record(t, b); }
  // How the links before step t are found.
  Past<T> past(Size t, Size b) const {
    Past<T> found{};
    if (!links_) return found;
    Size first = t;
    while (!before(first, b).links) --first;
    found.links = before(first, b).links;
    for (; first < t; ++first, ++found.steps) {
      found.before[found.steps] = before(first, b).kept;
      found.after[found.steps] = record(first + 1, b).kept;
    }
    return found;
  }
  // What the row's steps update in place.
  T* running(Size b) { return running_ + (b - first_) * memory_.running_size(); }
  // Whether all that is kept is kept for every step.
  bool whole() const { return p_.span < p_.segment; }
  Size state_size() const { return written_ + (whole() ? 0 : memory_.state_size() + links_); }
  T* checkpoint(Size t, Size b) const {
    const Size spans = (p_.time + p_.span - 1) / p_.span;
    return at(p_.checkpoints, b * spans + t / p_.span, state_size());
  }

  void begin() {
    each_row([&](Size b) {
      memory_.start(p_.start, b, record(0, b), running(b));
      for (Size l = 0; l < p_.depth; ++l) {
        const Layer& layer = p_.layers[l];
        begin_z(layer, 0, b, p_.start_reads, layer.start_h);
        if (layer.cell)
          copy(at(layer.cell, b, p_.hidden), at(layer.start_c, b, p_.hidden), p_.hidden);
      }
    });
  }

  void begin_z(const Layer& layer, Size t, Size b, void* reads, void* h) const {
    if (layer.reads >= 0)
      copy(z(layer, t, b) + layer.reads, at(reads, b, reads_), reads_);
    if (layer.own >= 0)
      copy(z(layer, t, b) + layer.own, at(h, b, p_.hidden), p_.hidden);
  }

  // The state before step t becomes the one to begin from (docs/derivations.md, begin_anew).
  // `before` and `cell_row` find the memory and c where they are.
  void begin_anew(Size t, Size b) {
    if (began_anew_before(t, b))
      memory_.start_running(p_.restart, b, running(b));
    else
      memory_.start(p_.restart, b, fresh(b), running(b));
    for (Size l = 0; l < p_.depth; ++l)
      begin_z(p_.layers[l], t, b, p_.restart_reads, p_.layers[l].restart_h);
  }

  void keep(Size t) {
    each_row([&](Size b) {
      if (t >= length(b)) return;
      const Record<T> state = record(t, b);
      T* to = checkpoint(t, b);
      copy(to, state.written, written_);
      if (whole()) return;
      copy(to + written_, state.kept, memory_.state_size());
      copy(to + written_ + memory_.state_size(), state.links, links_);
    });
  }

  // The records of the steps from `from` to `to`, from the state at `from` and the kept values.
  void repeat(Size from, Size to) {
    each_row_together([&](Size b) {
      if (from >= length(b)) return;
      if (leads()) go_on(from, b);
      for (Size t = from; t < std::min(to, length(b)); ++t) {
        if (whole()) {
          if (leads()) memory_.write_again(values(t, b), before(t, b), record(t + 1, b));
          continue;
        }
        if (starts(t, b) && leads()) memory_.go_on(fresh(b), running(b));
        memory_.access(values(t, b), before(t, b), record(t + 1, b), running(b), unused_);
      }
    });
  }

  // From the state that was kept before step t.
  void go_on(Size t, Size b) {
    const Record<T> begun = record(t, b);
    const T* kept = checkpoint(t, b);
    copy(begun.written, kept, written_);
    if (whole()) return;
    copy(begun.kept, kept + written_, memory_.state_size());
    copy(begun.links, kept + written_ + memory_.state_size(), links_);
    memory_.go_on(begun, running(b));
  }

  T* values(Size t, Size b) const { return at(p_.values, kept(t) * p_.batch + b, p_.numbers); }
  T* raw(Size t, Size b) const { return at(p_.raw, kept(t) * p_.batch + b, p_.numbers); }
  T* gates(const Layer& layer, Size t, Size b) const {
    return at(layer.gates, kept(t) * p_.batch + b, layer.rows);
  }
  T* cell(const Layer& layer, Size t, Size b) const {
    return layer.cell ? at(layer.cell, kept(t) * p_.batch + b, p_.hidden) : nullptr;
  }
  CellRow<T> cell_row(const Layer& layer, Size t, Size b) const {
    const T* own = layer.own >= 0 ? z(layer, t, b) + layer.own : nullptr;
    const bool anew = layer.cell && starts(t, b);
    const T* c_before = anew ? at(layer.restart_c, b, p_.hidden) : cell(layer, t, b);
    return {p_.hidden, gates(layer, t, b), own, c_before, cell(layer, t + 1, b)};
  }
  T* output(Size t, Size b, Size l) const {
    return at(p_.h, int64_t(t) * p_.batch + b, outputs_) + (p_.skip ? l * p_.hidden : 0);
  }

  // What the gates take: the biases, of x, and of z.
  void gates_forward(Size t, Size l) {
    const Layer& layer = p_.layers[l];
    T* to = gates(layer, t, first_);
    const T* from = at(layer.from_input, int64_t(t) * p_.batch + first_, layer.from_input_row);
    Size stride = layer.from_input_row;
    if constexpr (Weights::inputs_and_readout)
      if (p_.x) {
        from = weights_.biases[l].data();
        stride = 0;
        if (layer.inputs) {
          weights_.inputs[l].multiply(count_, at(p_.x, int64_t(t) * p_.batch + first_, layer.inputs),
                                      layer.inputs, from, stride, to, layer.rows);
          from = to;
          stride = layer.rows;
        }
      }
    weights_.layers[l].multiply(count_, z(layer, t, first_), layer.width, from, stride, to, layer.rows);
  }

  void layer_forward(Size t, Size l) {
    const Layer& layer = p_.layers[l];
    gates_forward(t, l);
    each_row([&](Size b) {
      if (t >= length(b)) return;
      // Without skip connections the output is the last layer's: earlier ones write theirs there first.
      T* h = output(t, b, l);
      const CellRow<T> row = cell_row(layer, t, b);
      switch (static_cast<Cell>(p_.cell)) {
        case Cell::lstm: lstm(row, h); break;
        case Cell::gru: gru(row, h); break;
        case Cell::elman:
        case Cell::feedforward_tanh: elman(row, h); break;
        case Cell::feedforward: feedforward(row, h); break;
      }
      if (layer.own >= 0) copy(z(layer, t + 1, b) + layer.own, h, p_.hidden);
      if (l + 1 < p_.depth) {
        const Layer& above = p_.layers[l + 1];
        copy(z(above, t, b) + above.below, h, p_.hidden);
      }
      if (t + 1 == length(b)) {
        if (layer.end_h) copy(at(layer.end_h, b, p_.hidden), h, p_.hidden);
        if (layer.end_c) copy(at(layer.end_c, b, p_.hidden), row.c, p_.hidden);
      }
    });
  }

  void interface_forward(Size t) {
    weights_.interface_part.multiply(count_, output(t, first_, 0), outputs_, at(p_.interface_bias, 0, 0),
                                     0, raw(t, first_), p_.numbers);
    each_row(
        [&](Size b) { field_values(p_.fields, p_.fields_count, raw(t, b), values(t, b)); });
  }

  // y = W_y [h, r] + b_y
  void readout(Size t) {
    T* y = at(p_.y, int64_t(t) * p_.batch + first_, p_.logits);
    weights_.readout[0].multiply(count_, output(t, first_, 0), outputs_, at(p_.readout_bias, 0, 0), 0, y,
                                 p_.logits);
    weights_.readout[1].multiply(count_, at(p_.read_vectors, int64_t(t) * p_.batch + first_, reads_), reads_, y,
                                 p_.logits, y, p_.logits);
  }

  void memory_forward(Size t, Size b) {
    T* vectors = at(p_.read_vectors, int64_t(t) * p_.batch + b, reads_);
    memory_.access(values(t, b), before(t, b), record(t + 1, b), running(b), vectors);
    if (!leads()) return;
    barrier();  // each head's vector is a row of its own
    for (Size l = 0; l < p_.depth; ++l) {
      const Layer& layer = p_.layers[l];
      if (layer.reads >= 0) copy(z(layer, t + 1, b) + layer.reads, vectors, reads_);
    }
    if (t + 1 == length(b)) {
      memory_.end(b, record(t + 1, b), running(b));
      copy(at(p_.end_reads, b, reads_), vectors, reads_);
    }
  }

  // The gradients of what the readout takes: of h, and of the read vectors.
  void readout_backward(Size t) {
    weights_.readout[0].multiply(count_, at(p_.d_y, int64_t(t) * p_.batch + first_, p_.logits), p_.logits,
                                 zeros_, 0, d_seen_, outputs_ + reads_);
  }

  void memory_backward(Size t, Size b) {
    T* d_raw = at(p_.d_raw, int64_t(t) * p_.batch + b, p_.numbers);
    T* carry = carry_ + (b - first_) * memory_.carry_size();
    T* d_reads = d_reads_ + (b - first_) * reads_;
    if (t >= length(b)) {
      if (leads()) fill(d_raw, p_.numbers);
      return;
    }
    if (leads()) reads_backward(t, b, carry, d_reads);
    memory_.access_backward(values(t, b), d_values_, before(t, b), record(t + 1, b), past(t, b), carry,
                            d_reads);
    if (!leads()) return;
    field_values_backward(p_.fields, p_.fields_count, raw(t, b), values(t, b), d_values_, d_raw);
    fill(d_reads, reads_);
  }

  // What is there of the gradients of the memory and the read vectors after step t.
  void reads_backward(Size t, Size b, T* carry, T* d_reads) {
    if (t + 1 == length(b)) start_backward(b, carry, d_reads);
    if (p_.d_read_vectors) {
      add(d_reads, at(p_.d_read_vectors, int64_t(t) * p_.batch + b, reads_), reads_);
    }
    if (p_.d_y) add(d_reads, d_seen_ + (b - first_) * (outputs_ + reads_) + outputs_, reads_);
    barrier();  // all lanes take all of d_reads
  }

  // A row's backward begins at its own last step, from the gradient of its final state.
  void start_backward(Size b, T* carry, T* d_reads) {
    memory_.start_backward(b, carry);
    if (p_.d_end_reads) copy(d_reads, at(p_.d_end_reads, b, reads_), reads_);
    for (Size l = 0; l < p_.depth; ++l) {
      const Layer& layer = p_.layers[l];
      const Size place = (l * count_ + b - first_) * p_.hidden;
      if (layer.d_end_h)
        copy(d_own_ + place, at(layer.d_end_h, b, p_.hidden), p_.hidden);
      if (layer.d_end_c)
        copy(d_c_ + place, at(layer.d_end_c, b, p_.hidden), p_.hidden);
    }
  }

  void interface_backward(Size t) {
    const T* from = p_.d_y ? d_seen_ : zeros_;
    const Size stride = p_.d_y ? outputs_ + reads_ : 0;
    weights_.interface_part.multiply(count_, at(p_.d_raw, int64_t(t) * p_.batch + first_, p_.numbers),
                                     p_.numbers, from, stride, d_outputs_, outputs_);
    if (p_.d_h)
      each_row([&](Size b) {
        add(d_outputs_ + (b - first_) * outputs_, at(p_.d_h, int64_t(t) * p_.batch + b, outputs_), outputs_);
      });
  }

  void layer_backward(Size t, Size l) {
    const Layer& layer = p_.layers[l];
    const Size hidden = p_.hidden;
    each_row([&](Size b) {
      T* d_gates = at(layer.d_gates, int64_t(t) * p_.batch + b, layer.rows);
      if (t >= length(b)) return fill(d_gates, layer.rows);
      const Size i = b - first_;
      T* d_h = d_own_ + (l * count_ + i) * hidden;  // so far from the step after
      if (p_.skip || l == p_.depth - 1)
        add(d_h, d_outputs_ + i * outputs_ + (p_.skip ? l * hidden : 0), hidden);
      if (l + 1 < p_.depth) add(d_h, d_below_ + i * hidden, hidden);
      const CellRow<T> row = cell_row(layer, t, b);
      switch (static_cast<Cell>(p_.cell)) {
        case Cell::lstm:
          lstm_backward(row, d_h, d_c_ + (l * count_ + i) * hidden, d_gates);
          fill(d_h, hidden);
          break;
        case Cell::gru: gru_backward(row, d_h, d_h, d_gates); break;
        case Cell::elman:
        case Cell::feedforward_tanh:
          elman_backward(row, d_h, d_gates);
          fill(d_h, hidden);
          break;
        case Cell::feedforward:
          feedforward_backward(row, d_h, d_gates);
          fill(d_h, hidden);
          break;
      }
    });
    weights_.layers[l].multiply(count_, at(layer.d_gates, int64_t(t) * p_.batch + first_, layer.rows),
                                layer.rows, zeros_, 0, d_z_, layer.width);
    each_row([&](Size b) {
      const Size i = b - first_;
      const T* d_z = d_z_ + i * layer.width;
      if (layer.reads >= 0) add(d_reads_ + i * reads_, d_z + layer.reads, reads_);
      if (layer.below >= 0)
        copy(d_below_ + i * hidden, d_z + layer.below, hidden);
      if (layer.own >= 0) add(d_own_ + (l * count_ + i) * hidden, d_z + layer.own, hidden);
    });
  }

  // The gradient of the state before a step at which the row begins anew is added to that of the
  // state it begins from; the step before gets none.
  void begin_anew_backward(Size b) {
    const Size i = b - first_, hidden = p_.hidden;
    const auto hand_over = [](T* from, void* to, Size row, Size size) {
      if (to) add(at(to, row, size), from, size);
      fill(from, size);
    };
    const Size size = memory_.carry_size();
    hand_over(carry_ + i * size, d_fresh_, i, size);
    hand_over(d_reads_ + i * reads_, p_.d_restart_reads, b, reads_);
    for (Size l = 0; l < p_.depth; ++l) {
      const Layer& layer = p_.layers[l];
      hand_over(d_own_ + (l * count_ + i) * hidden, layer.d_restart_h, b, hidden);
      hand_over(d_c_ + (l * count_ + i) * hidden, layer.d_restart_c, b, hidden);
    }
  }

  void finish() {
    each_row([&](Size b) {
      const Size i = b - first_;
      const Size carry = i * memory_.carry_size();
      memory_.end_backward(p_.d_start, b, carry_ + carry);
      if (p_.starts) memory_.end_backward(p_.d_restart, b, d_fresh_ + carry);
      copy(at(p_.d_start_reads, b, reads_), d_reads_ + i * reads_, reads_);
      for (Size l = 0; l < p_.depth; ++l) {
        const Layer& layer = p_.layers[l];
        const Size place = (l * count_ + i) * p_.hidden;
        if (layer.d_start_h)
          copy(at(layer.d_start_h, b, p_.hidden), d_own_ + place, p_.hidden);
        if (layer.d_start_c)
          copy(at(layer.d_start_c, b, p_.hidden), d_c_ + place, p_.hidden);
      }
    });
  }

  const Given& p_;
  const Weights& weights_;
  Arena<T>& arena_;
  Memory memory_;
  Size first_, count_, outputs_, reads_, written_, links_, kept_;
  T *running_, *carry_, *d_reads_, *d_values_, *d_outputs_, *d_below_, *d_seen_, *zeros_, *d_own_, *d_c_,
      *d_z_, *d_fresh_, *unused_;
};

}  // namespace memnets
