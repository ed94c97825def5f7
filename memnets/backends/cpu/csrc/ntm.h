// The memory of an NTM: one step of one row, forward and backward (docs/derivations.md, ntm_access).
#pragma once

#include "content.h"
#include "problem.h"

namespace memnets {

// A record holds the state after a step, and what the step's backward needs:
//   what can be written again: memory [W, length], squares [length]
//   what is kept: weights [R + H, length] (read heads first)
//   and for each head: content (3 rows), shifted + epsilon, its logarithm.
//
// `Given` is a Problem, or one whose sizes the compiler knows.
template <class T, class Given = Problem>
class NtmMemory {
 public:
  // `work`: work_size() zeros; for its sizes alone it needs none.
  explicit NtmMemory(const Given& problem, T* work = nullptr)
      : problem_(problem),
        shape_{problem.slots, padded<T>(problem.slots), problem.word},
        heads_(problem.read_heads + problem.write_heads),
        scratch_(work) {
    Size reach = 0;
    for (Size i = 0; i < heads_; ++i) reach = std::max(reach, Size(problem.heads[i].shift_range));
    around_size_ = padded<T>(shape_.length + 2 * reach + lanes<T>);
  }

  Size work_size() const { return 5 * shape_.length + 2 * around_size_; }
  Size running_size() const { return 0; }  // nothing is updated in place
  Size written_size() const { return (shape_.word + 1) * shape_.length; }
  Size state_size() const { return heads_ * shape_.length; }
  Size kept_size() const { return state_size() + heads_ * head_rows * shape_.length; }
  Size carry_size() const { return (shape_.word + heads_) * shape_.length; }

  // `parts` are the problem's `start` or `restart`.
  void start(void* const* parts, Size row, Record<T> record, T*) const {
    memory_in(shape_, part(parts, 0, row), record.written, squares(record));
    rows_in(shape_, problem_.read_heads, part(parts, 1, row), weights(record, 0));
    rows_in(shape_, problem_.write_heads, part(parts, 2, row), weights(record, problem_.read_heads));
  }

  void start_running(void* const*, Size, T*) const {}

  void go_on(Record<T>, T*) const {}  // a step needs nothing but the state

  void end(Size row, Record<T> record, const T*) const {
    memory_out(shape_, record.written, part(problem_.end, 0, row));
    rows_out(shape_, problem_.read_heads, weights(record, 0), part(problem_.end, 1, row));
    rows_out(shape_, problem_.write_heads, weights(record, problem_.read_heads),
             part(problem_.end, 2, row));
  }

  // The carry holds gradients: of the memory [W, length], of the weights [R + H, length].
  void start_backward(Size row, T* carry) {
    memory_in(shape_, part(problem_.d_end, 0, row), carry, scratch_);
    rows_in(shape_, problem_.read_heads, part(problem_.d_end, 1, row), d_weights(carry, 0));
    rows_in(shape_, problem_.write_heads, part(problem_.d_end, 2, row),
            d_weights(carry, problem_.read_heads));
  }

  // `parts` are the problem's `d_start` or `d_restart`.
  void end_backward(void* const* parts, Size row, T* carry) const {
    if (T* to = part(parts, 0, row)) memory_out(shape_, carry, to);
    if (T* to = part(parts, 1, row)) rows_out(shape_, problem_.read_heads, d_weights(carry, 0), to);
    if (T* to = part(parts, 2, row))
      rows_out(shape_, problem_.write_heads, d_weights(carry, problem_.read_heads), to);
  }

  void access(const T* values, Record<T> before, Record<T> after, T*, T* read_vectors) {
    if (!leads()) return;
    const Size readers = problem_.read_heads;
    for (Size i = readers; i < heads_; ++i) focus(i, values, before, before, after);
    write_again(values, before, after);
    const Record<T> seen = problem_.read_first ? before : after;
    for (Size i = 0; i < readers; ++i) {
      focus(i, values, seen, before, after);
      read(shape_, 1, seen.written, weights(after, i), read_vectors + i * shape_.word);
    }
  }

  // What of the record after a step can be written from the record before it and what it kept.
  void write_again(const T* values, Record<T> before, Record<T> after) const {
    write(shape_, writes(values, after), before.written, after.written, squares(after));
  }

  void access_backward(const T* values, T* d_values, Record<T> before, Record<T> after, const Past<T>&,
                       T* carry, const T* d_read_vectors) {
    if (!leads()) return;
    const Size readers = problem_.read_heads;
    if (!problem_.read_first)
      reads_backward(values, d_values, after, before, after, carry, d_read_vectors);
    // The write weights' own gradient is complete before their focus runs backward.
    T* d_write = d_weights(carry, readers);
    write_backward(shape_, writes(values, after), before.written, carry,
                   {d_write, d_values + problem_.erase_vectors, d_values + problem_.write_vectors, nullptr});
    if (problem_.read_first)
      reads_backward(values, d_values, before, before, after, carry, d_read_vectors);
    for (Size i = readers; i < heads_; ++i)
      focus_backward(i, values, d_values, before, before, after, carry);
  }

 private:
  static constexpr Size head_rows = Content<T>::rows + 2;

  T* part(void* const* parts, Size index, Size row) const {
    const Size sizes[] = {shape_.slots * shape_.word, problem_.read_heads * shape_.slots,
                          problem_.write_heads * shape_.slots};
    T* whole = static_cast<T*>(parts[index]);
    return whole ? whole + int64_t(row) * sizes[index] : nullptr;
  }

  T* around() const { return scratch_ + 5 * shape_.length; }
  T* around_d() const { return around() + around_size_; }
  T* squares(Record<T> record) const { return record.written + shape_.word * shape_.length; }
  T* weights(Record<T> record, Size head) const { return record.kept + head * shape_.length; }
  T* d_weights(T* carry, Size head) const { return carry + (shape_.word + head) * shape_.length; }
  T* work(Record<T> record, Size head) const {
    return record.kept + state_size() + head * head_rows * shape_.length;
  }

  Write<T> writes(const T* values, Record<T> after) const {
    return {problem_.write_heads, weights(after, problem_.read_heads), values + problem_.erase_vectors,
            values + problem_.write_vectors, nullptr};
  }

  // around = the row with its ends repeated on either side, so that a shift is an offset.
  void wrap(const T* row, Size reach, T* around) const {
    const Size slots = shape_.slots;
    barrier();
    copy(around + reach, row, slots);
    each_alone(reach, [=](Size i) {
      around[reach - 1 - i] = row[slots - 1 - i % slots];
      around[reach + slots + i] = row[i % slots];
    });
    barrier();
  }

  // g c + (1 - g) w(t-1), or what of it the head has.
  const T* interpolate(const Head& head, const T* values, Content<T> content, const T* previous) {
    if (head.key < 0) return previous;
    if (head.gate < 0) return content.weights;
    const Vector<T> gate(values[head.gate]);
    for (Size n = 0; n < shape_.length; n += lanes<T>) {
      const Vector<T> old = load(previous + n);
      store(multiply_add(gate, load(content.weights + n) - old, old), scratch_ + n);
    }
    return scratch_;
  }

  Query<T> query(const Head& head, const T* values) const {
    return {values + head.key, head.mask < 0 ? nullptr : values + head.mask, values[head.strength],
            T(head.similarity_epsilon)};
  }
  QueryGradients<T> query_gradients(const Head& head, T* d_values) const {
    return {d_values + head.key, head.mask < 0 ? nullptr : d_values + head.mask,
            d_values + head.strength};
  }

  void focus(Size index, const T* values, Record<T> seen, Record<T> before, Record<T> after) {
    const Head& head = problem_.heads[index];
    T* rows = work(after, index);
    const Content<T> content(rows, shape_.length);
    T* result = weights(after, index);
    if (head.key >= 0)
      content_weights(shape_, seen.written, squares(seen), {query(head, values)}, {content});
    const T* row = interpolate(head, values, content, weights(before, index));
    if (head.shifts < 0) {
      copy(result, row, shape_.length);
      return;
    }
    const Size reach = head.shift_range;
    T* shifted = rows + Content<T>::rows * shape_.length;
    T* logarithm = shifted + shape_.length;
    wrap(row, reach, around());
    const Vector<T> least(T(head.sharpen_epsilon));
    for (Size n = 0; n < shape_.length; n += lanes<T>) {
      Vector<T> sum = least;
      for (Size j = 0; j <= 2 * reach; ++j)
        sum = multiply_add(Vector<T>(values[head.shifts + j]), load(around() + n + 2 * reach - j),
                           sum);
      if (n + lanes<T> > shape_.slots) sum = Vector<T>::set(Vector<T>(1), sum, shape_.slots - n);
      store(sum, shifted + n);
      store(memnets::logarithm(sum), logarithm + n);
    }
    softmax(logarithm, values[head.sharpening], result, shape_.slots, shape_.length);
  }

  // d_weights of the head, complete, becomes that of its weighting of the step before. What it read goes
  // back into the memory on the way; d_vector is null of a head that writes.
  void focus_backward(Size index, const T* values, T* d_values, Record<T> seen, Record<T> before,
                      Record<T> after, T* carry, const T* d_vector = nullptr) {
    const Head& head = problem_.heads[index];
    T* rows = work(after, index);
    const Content<T> content(rows, shape_.length);
    T* d_row = d_weights(carry, index);
    if (head.shifts >= 0)
      shift_and_sharpen_backward(head, values, d_values, rows,
                                 interpolate(head, values, content, weights(before, index)),
                                 weights(after, index), d_row);
    if (head.key < 0) {
      if (d_vector) read_memory_backward(shape_, weights(after, index), d_vector, carry);
      return;
    }
    T* d_content = scratch_ + shape_.length;
    const T* previous = weights(before, index);
    if (head.gate < 0) {
      copy(d_content, d_row, shape_.length);
      fill(d_row, shape_.length);
    } else {
      const Vector<T> gate(values[head.gate]), rest(1 - values[head.gate]);
      Vector<T> sum(0);
      for (Size n = 0; n < shape_.length; n += lanes<T>) {
        const Vector<T> d = load(d_row + n);
        sum = multiply_add(d, load(content.weights + n) - load(previous + n), sum);
        store(gate * d, d_content + n);
        store(rest * d, d_row + n);
      }
      put(d_values, head.gate, total(sum));
    }
    const Query<T> queries[] = {query(head, values)};
    const Content<T> contents[] = {content};
    const QueryGradients<T> d[] = {query_gradients(head, d_values)};
    T* scratch = scratch_ + 2 * shape_.length;
    if (d_vector)
      content_weights_backward<T, true>(shape_, seen.written, squares(seen), queries, contents, d_content,
                                        carry, d, scratch, {weights(after, index), d_vector});
    else
      content_weights_backward<T, false>(shape_, seen.written, squares(seen), queries, contents, d_content,
                                         carry, d, scratch, {});
  }

  // Through the sharpening and the shift: d_row, of the weighting, becomes that of `row`.
  void shift_and_sharpen_backward(const Head& head, const T* values, T* d_values, const T* rows,
                                  const T* row, const T* result, T* d_row) {
    const Size reach = head.shift_range;
    const T* shifted = rows + Content<T>::rows * shape_.length;
    const T* logarithm = shifted + shape_.length;
    wrap(row, reach, around());
    softmax_backward(result, d_row, d_row, shape_.length);
    put(d_values, head.sharpening, dot(d_row, logarithm, shape_.length));
    const Vector<T> gamma(values[head.sharpening]);
    for (Size n = 0; n < shape_.length; n += lanes<T>)
      store(gamma * load(d_row + n) / load(shifted + n), d_row + n);
    const T* last = around() + 2 * reach;
    sums_of_rows<T, 1, 1>(
        2 * reach + 1,
        [&](Size j, auto, auto& sums) MEMNETS_ALWAYS {
          sums[0][0] = products<T>(d_row, last - j, shape_.length);
        },
        [&](Size j, const T (&sum)[1]) MEMNETS_ALWAYS { d_values[head.shifts + j] = sum[0]; });
    wrap(d_row, reach, around_d());
    for (Size n = 0; n < shape_.length; n += lanes<T>) {
      Vector<T> sum(0);
      for (Size j = 0; j <= 2 * reach; ++j)
        sum = multiply_add(Vector<T>(values[head.shifts + j]), load(around_d() + n + j), sum);
      store(sum, d_row + n);
    }
    zero_padding(d_row, shape_.slots, shape_.length);
  }

  void reads_backward(const T* values, T* d_values, Record<T> seen, Record<T> before,
                      Record<T> after, T* carry, const T* d_read_vectors) {
    for (Size i = 0; i < problem_.read_heads; ++i) {
      const T* d_vector = d_read_vectors + i * shape_.word;
      read_weights_backward(shape_, 1, seen.written, d_vector, d_weights(carry, i));
      focus_backward(i, values, d_values, seen, before, after, carry, d_vector);
    }
  }

  const Given& problem_;
  Shape shape_;
  Size heads_, around_size_;
  T* scratch_;
};

}  // namespace memnets
