// The memory of a DNC: one step of one row, forward and backward (docs/derivations.md, dnc_access).
#pragma once

#include "content.h"
#include "links.h"
#include "problem.h"
#include "sharpening.h"
#include "usage.h"

namespace memnets {

// A record holds the state after a step, and what the step's backward needs. In rows of `length`, L
// being the number of links, H or without a linkage 0:
//   what can be written again: memory W, squares 1
//   what is kept: usage 1, precedence L, read weights R, write weights H,
//   for each write head: content 3, allocation 1, free list 1; for each read head: content 3;
//   backward R * L, forward R * L (reader by reader), and both again as sharpened, where they are
// The links themselves are held apart, [L * N, length], and updated in place: they stay in the cache,
// while records go to memory. Of every few steps a backward is left a copy (docs/fused.md).
//
// `Given` is a Problem, or one whose sizes the compiler knows.
template <class T, class Given = Problem>
class DncMemory {
 public:
  // `work`: work_size() zeros; for its sizes alone it needs none.
  explicit DncMemory(const Given& problem, T* work = nullptr)
      : problem_(problem),
        places_(*problem.dnc),
        shape_{problem.slots, padded<T>(problem.slots), problem.word},
        readers_(problem.read_heads),
        writers_(problem.write_heads),
        links_(places_.read_modes < 0 ? 0 : writers_),
        sharpened_(places_.sharpenings >= 0),
        scratch_(work) {}

  Size work_size() const {
    const Size passing = heads_at_once && places_.read_masks >= 0 ? 4 * shape_.word : 0;
    return (scratch_rows() + link_columns() + readers_ + retention_rows()) * shape_.length + padded<T>(passing);
  }
  Size running_size() const { return links_ * shape_.slots * shape_.length; }
  Size state_size() const { return (1 + links_ + readers_ + writers_) * shape_.length; }
  Size written_size() const { return (shape_.word + 1) * shape_.length; }
  Size kept_size() const {
    const Size rows = writers_ * (Content<T>::rows + 2) + readers_ * Content<T>::rows +
                      2 * readers_ * links_ * (sharpened_ ? 2 : 1);
    return state_size() + rows * shape_.length;
  }
  // Gradients of: memory W, usage 1, precedence L, read weights R, write weights H, link L * N.
  Size carry_size() const {
    return (shape_.word + 1 + links_ + readers_ + writers_ + links_ * shape_.slots) * shape_.length;
  }

  // `parts` are the problem's `start` or `restart`.
  void start(void* const* parts, Size row, Record<T> begun, T* running) const {
    T* record = begun.kept;
    memory_in(shape_, part(parts, 0, row), begun.written, squares(begun));
    rows_in(shape_, 1, part(parts, 1, row), usage(record));
    start_running(parts, row, running);
    if (begun.links) copy(begun.links, running, running_size());
    rows_in(shape_, links_, part(parts, 3, row), precedence(record));
    rows_in(shape_, readers_, part(parts, 4, row), read_weights(record));
    rows_in(shape_, writers_, part(parts, 5, row), write_weights(record));
    list_slots(record);
  }

  void start_running(void* const* parts, Size row, T* running) const {
    rows_in(shape_, links_ * shape_.slots, part(parts, 2, row), running);
  }

  // Go on from a record.
  void go_on(Record<T> record, T* running) const {
    copy(running, record.links, running_size());
    list_slots(record.kept);
  }

  // A free list to begin sorting from, where no step came before.
  void list_slots(T* record) const {
    for (Size h = 0; h < writers_; ++h) {
      int32_t* list = free_list(record, h);
      each_alone(shape_.slots, [=](Size n) { list[n] = static_cast<int32_t>(n); });
    }
  }

  void end(Size row, Record<T> ended, const T* running) const {
    T* record = ended.kept;
    memory_out(shape_, ended.written, part(problem_.end, 0, row));
    rows_out(shape_, 1, usage(record), part(problem_.end, 1, row));
    rows_out(shape_, links_ * shape_.slots, running, part(problem_.end, 2, row));
    rows_out(shape_, links_, precedence(record), part(problem_.end, 3, row));
    rows_out(shape_, readers_, read_weights(record), part(problem_.end, 4, row));
    rows_out(shape_, writers_, write_weights(record), part(problem_.end, 5, row));
  }

  void start_backward(Size row, T* carry) {
    memory_in(shape_, part(problem_.d_end, 0, row), carry, scratch_);
    rows_in(shape_, 1, part(problem_.d_end, 1, row), d_usage(carry));
    rows_in(shape_, links_ * shape_.slots, part(problem_.d_end, 2, row), d_link(carry, 0));
    rows_in(shape_, links_, part(problem_.d_end, 3, row), d_precedence(carry));
    rows_in(shape_, readers_, part(problem_.d_end, 4, row), d_read_weights(carry));
    rows_in(shape_, writers_, part(problem_.d_end, 5, row), d_write_weights(carry));
  }

  // `parts` are the problem's `d_start` or `d_restart`.
  void end_backward(void* const* parts, Size row, T* carry) const {
    if (T* to = part(parts, 0, row)) memory_out(shape_, carry, to);
    if (T* to = part(parts, 1, row)) rows_out(shape_, 1, d_usage(carry), to);
    if (T* to = part(parts, 2, row)) rows_out(shape_, links_ * shape_.slots, d_link(carry, 0), to);
    if (T* to = part(parts, 3, row)) rows_out(shape_, links_, d_precedence(carry), to);
    if (T* to = part(parts, 4, row)) rows_out(shape_, readers_, d_read_weights(carry), to);
    if (T* to = part(parts, 5, row)) rows_out(shape_, writers_, d_write_weights(carry), to);
  }

  // What of the record after a step can be written from the record before it and what it kept.
  void write_again(const T* values, Record<T> from, Record<T> to) const {
    write(shape_, writes(values, from, to), from.written, to.written, squares(to));
  }

  // By all who take the row together, as is its backward.
  void access(const T* values, Record<T> from, Record<T> to, T* running, T* read_vectors) {
    T *before = from.kept, *after = to.kept;
    const Size length = shape_.length;
    if (leads()) {
      update_usage(shape_, usage_update(values, before), usage(before), usage(after));
      write_weighting(values, from, to);
      write_again(values, from, to);
    }
    for (Size h = 0; h < links_; ++h) {
      T* kept = to.links ? to.links + h * shape_.slots * length : nullptr;
      update_link(shape_, problem_.read_heads, links(before, after, h), kept,
                  running + h * shape_.slots * length,
                  directional(after) + h * length, directional(after) + (readers_ * links_ + h) * length,
                  links_ * length);
    }
    if (!leads()) return;
    for (Size h = 0; h < links_; ++h) update_precedence(before, after, h);
    groups(readers_, [&](Size first, auto count) MEMNETS_ALWAYS {
      constexpr Size heads = decltype(count)::value;
      Query<T> queries[heads];
      Content<T> contents[heads];
      for (Size h = 0; h < heads; ++h) {
        queries[h] = read_query(values, first + h);
        contents[h] = read_content(after, first + h);
      }
      content_weights(shape_, to.written, squares(to), queries, contents, passed());
    });
    for (Size r = 0; r < readers_; ++r) mix(values, after, r);
    read(shape_, readers_, to.written, read_weights(after), read_vectors);
  }

  void access_backward(const T* values, T* d_values, Record<T> from, Record<T> to, const Past<T>& past,
                       T* carry, const T* d_read_vectors) {
    T *before = from.kept, *after = to.kept;
    const Size length = shape_.length;
    T* d_directional = scratch_ + 6 * length;
    if (leads()) {
      reads_backward(values, d_values, to, carry, d_read_vectors, d_directional);
      // From here the read weights' gradients are those of the step before.
      fill(d_read_weights(carry), readers_ * length);
      for (Size h = 0; h < links_; ++h) update_precedence_backward(before, after, carry, h);
    }
    for (Size h = 0; h < links_; ++h) {
      const LinkGradients<T> d{d_link(carry, h),
                               d_write_weights(carry) + h * length,
                               d_precedence(carry) + h * length,
                               d_read_weights(carry),
                               d_directional + h * length,
                               d_directional + (readers_ * links_ + h) * length,
                               links_ * length};
      update_link_backward(shape_, problem_.read_heads, links(before, after, h), before_links(past, h), d);
    }
    if (!leads()) return;
    const WriteGradients<T> d_write{d_write_weights(carry), d_values + problem_.erase_vectors,
                                    d_values + problem_.write_vectors, d_retention()};
    if (d_write.kept) fill(d_write.kept, length);
    write_backward(shape_, writes(values, from, to), from.written, carry, d_write);
    write_weighting_backward(values, d_values, from, to, carry);
    update_usage_backward(
        shape_, usage_update(values, before), usage(before), d_usage(carry), d_read_weights(carry),
        places_.stop_usage_gradient ? nullptr : d_write_weights(carry), d_values + places_.free_gates,
        d_write.kept);
  }

 private:
  Size scratch_rows() const { return 6 + 2 * readers_ * links_ + 2 * writers_; }
  // What a pass takes of the slots side by side.
  T* columns() const { return scratch_ + scratch_rows() * shape_.length; }
  // [R, length]
  T* d_contents() const { return columns() + link_columns() * shape_.length; }
  // What is kept of each slot as freed ones are wiped, and its gradient; null where nothing is wiped.
  Size retention_rows() const { return places_.wipe ? 2 : 0; }
  T* retained() const { return places_.wipe ? d_contents() + readers_ * shape_.length : nullptr; }
  T* d_retention() const { return places_.wipe ? retained() + shape_.length : nullptr; }
  // Of two read heads with masks, [W, 2].
  Passing<T>* passed() const {
    return reinterpret_cast<Passing<T>*>(d_contents() + (readers_ + retention_rows()) * shape_.length);
  }
  T* at(T* record, Size row) const { return record + row * shape_.length; }
  T* squares(Record<T> record) const { return at(record.written, shape_.word); }
  T* usage(T* record) const { return record; }
  T* precedence(T* record) const { return at(record, 1); }
  T* read_weights(T* record) const { return at(record, 1 + links_); }
  T* write_weights(T* record) const { return at(record, 1 + links_ + readers_); }
  T* work(T* record) const { return record + state_size(); }
  Content<T> write_content(T* record, Size h) const {
    return Content<T>(at(work(record), h * (Content<T>::rows + 2)), shape_.length);
  }
  T* allocation_row(T* record, Size h) const {
    return at(work(record), h * (Content<T>::rows + 2) + Content<T>::rows);
  }
  int32_t* free_list(T* record, Size h) const {
    return reinterpret_cast<int32_t*>(allocation_row(record, h) + shape_.length);
  }
  Content<T> read_content(T* record, Size r) const {
    return Content<T>(at(work(record), writers_ * (Content<T>::rows + 2) + r * Content<T>::rows),
                      shape_.length);
  }
  T* directional(T* record) const {
    return at(work(record), writers_ * (Content<T>::rows + 2) + readers_ * Content<T>::rows);
  }
  T* directional_row(T* record, Size direction, Size r, Size h) const {
    return at(directional(record), (direction * readers_ + r) * links_ + h);
  }

  // What of a link is mixed: the directional weights, or those sharpened.
  T* along(T* record, Size direction, Size r, Size h) const {
    return directional_row(record, direction + (sharpened_ ? 2 : 0), r, h);
  }
  Size sharpening(Size direction, Size r, Size h) const {
    return places_.sharpenings + (r * 2 + direction) * links_ + h;
  }

  T* d_usage(T* carry) const { return at(carry, shape_.word); }
  T* d_precedence(T* carry) const { return at(carry, shape_.word + 1); }
  T* d_read_weights(T* carry) const { return at(carry, shape_.word + 1 + links_); }
  T* d_write_weights(T* carry) const { return at(carry, shape_.word + 1 + links_ + readers_); }
  T* d_link(T* carry, Size h) const {
    return at(carry, shape_.word + 1 + links_ + readers_ + writers_ + h * shape_.slots);
  }

  T* part(void* const* parts, Size index, Size row) const {
    const Size slots = shape_.slots;
    const Size sizes[] = {slots * shape_.word,    slots,
                          links_ * slots * slots, links_ * slots,
                          readers_ * slots,       writers_ * slots};
    T* whole = static_cast<T*>(parts[index]);
    return whole ? whole + int64_t(row) * sizes[index] : nullptr;
  }

  T sum(const T* row) const {
    Vector<T> value(0);
    for (Size n = 0; n < shape_.length; n += lanes<T>) value = value + load(row + n);
    return total(value);
  }

  Query<T> query(const T* values, Size head, Size keys, Size masks, Size strengths) const {
    return {values + keys + head * shape_.word,
            masks < 0 ? nullptr : values + masks + head * shape_.word, values[strengths + head],
            T(places_.similarity_epsilon)};
  }
  Query<T> read_query(const T* values, Size r) const {
    return query(values, r, places_.read_keys, places_.read_masks, places_.read_strengths);
  }
  Query<T> write_query(const T* values, Size h) const {
    return query(values, h, places_.write_keys, places_.write_masks, places_.write_strengths);
  }
  QueryGradients<T> gradients(T* d_values, Size head, Size keys, Size masks, Size strengths) const {
    return {d_values + keys + head * shape_.word,
            masks < 0 ? nullptr : d_values + masks + head * shape_.word, d_values + strengths + head};
  }
  Allocation<T> rule() const { return {T(places_.allocation_epsilon), T(places_.usage_resolution)}; }
  UsageUpdate<T> usage_update(const T* values, T* before) const {
    return {readers_, writers_, read_weights(before), write_weights(before),
            values + places_.free_gates};
  }
  Write<T> writes(const T* values, Record<T> from, Record<T> to) const {
    T* kept = retained();
    if (kept) retention(shape_, usage_update(values, from.kept), kept);
    return {writers_, write_weights(to.kept), values + problem_.erase_vectors,
            values + problem_.write_vectors, kept};
  }
  Links<T> links(T* before, T* after, Size h) {
    return {write_weights(after) + h * shape_.length, precedence(before) + h * shape_.length,
            read_weights(before), columns()};
  }
  PastLink<T> before_links(const Past<T>& past, Size h) const {
    PastLink<T> found{past.links + h * shape_.slots * shape_.length, past.steps, {}, {}};
    for (Size step = 0; step < past.steps; ++step) {
      found.write_weights[step] = write_weights(past.after[step]) + h * shape_.length;
      found.precedence[step] = precedence(past.before[step]) + h * shape_.length;
    }
    return found;
  }

  // w = g_w (g_a a + (1 - g_a) c), head after head: each sees the usage that those before left.
  void write_weighting(const T* values, Record<T> from, Record<T> to) {
    T *before = from.kept, *after = to.kept;
    const Size length = shape_.length;
    T* seen = scratch_;
    copy(seen, usage(after), length);
    for (Size h = 0; h < writers_; ++h) {
      const T by_usage = values[places_.allocation_gates + h], gate = values[places_.write_gates + h];
      const Content<T> content = write_content(after, h);
      content_weights(shape_, from.written, squares(from), {write_query(values, h)}, {content});
      copy(free_list(after, h), free_list(before, h), shape_.slots);
      T* allocated = allocation_row(after, h);
      memnets::allocation(shape_, rule(), seen, free_list(after, h), scratch_ + length,
                          allocated);
      T* weights = write_weights(after) + h * length;
      fill(weights, length);
      add_scaled(weights, gate * by_usage, allocated, length);
      add_scaled(weights, gate * (1 - by_usage), content.weights, length);
      if (h + 1 < writers_) raise(seen, gate * by_usage, allocated, seen);
    }
  }

  // usage += (1 - usage) * gate * allocation
  void raise(const T* seen, T gate, const T* allocated, T* to) const {
    const Vector<T> one(1), factor(gate);
    for (Size n = 0; n < shape_.length; n += lanes<T>) {
      const Vector<T> old = load(seen + n);
      store(multiply_add(one - old, factor * load(allocated + n), old), to + n);
    }
  }

  void write_weighting_backward(const T* values, T* d_values, Record<T> from, Record<T> to, T* carry) {
    T* after = to.kept;
    const Size length = shape_.length;
    T* d_allocated = scratch_;
    T* d_content = scratch_ + length;
    T* d_seen = scratch_ + 2 * length;
    T* spare = scratch_ + 3 * length;  // three rows
    T* seen = scratch_ + (6 + 2 * readers_ * links_) * length;
    copy(seen, usage(after), length);
    for (Size h = 0; h + 1 < writers_; ++h)
      raise(seen + h * length, values[places_.allocation_gates + h] * values[places_.write_gates + h],
            allocation_row(after, h), seen + (h + 1) * length);
    fill(d_seen, length);
    for (Size h = writers_ - 1; h >= 0; --h) {
      const T by_usage = values[places_.allocation_gates + h], gate = values[places_.write_gates + h];
      const Content<T> content = write_content(after, h);
      const T* allocated = allocation_row(after, h);
      T* d_weights = d_write_weights(carry) + h * length;
      const T along = dot(d_weights, allocated, length),
              across = dot(d_weights, content.weights, length);
      fill(d_allocated, length);
      add_scaled(d_allocated, gate * by_usage, d_weights, length);
      fill(d_content, length);
      add_scaled(d_content, gate * (1 - by_usage), d_weights, length);
      fill(d_weights, length);  // nothing else of this step needs it; what follows is the step before's
      const T d_joint =
          raise_backward(seen + h * length, gate * by_usage, allocated, d_seen, d_allocated);
      put(d_values, places_.write_gates + h, by_usage * (along + d_joint) + (1 - by_usage) * across);
      put(d_values, places_.allocation_gates + h, gate * (along + d_joint - across));
      memnets::allocation_backward(shape_, rule(), seen + h * length, free_list(after, h), allocated,
                                   d_allocated, spare, d_seen);
      content_weights_backward(
          shape_, from.written, squares(from), {write_query(values, h)}, {content}, d_content, carry,
          {gradients(d_values, h, places_.write_keys, places_.write_masks, places_.write_strengths)},
          spare);
    }
    add_scaled(d_usage(carry), T(1), d_seen, length);
  }

  // d_seen becomes that of the usage before `raise`; returns the gradient of its gate.
  T raise_backward(const T* seen, T gate, const T* allocated, T* d_seen, T* d_allocated) const {
    const Vector<T> one(1), factor(gate);
    Vector<T> d_gate(0);
    for (Size n = 0; n < shape_.length; n += lanes<T>) {
      const Vector<T> d = load(d_seen + n), rest = d * (one - load(seen + n));
      const Vector<T> share = load(allocated + n);
      d_gate = multiply_add(rest, share, d_gate);
      store(multiply_add(rest, factor, load(d_allocated + n)), d_allocated + n);
      store(d * (one - factor * share), d_seen + n);
    }
    return total(d_gate);
  }

  // The read weights' gradients become complete here, and go on to the ways they were found.
  void reads_backward(const T* values, T* d_values, Record<T> to, T* carry,
                      const T* d_read_vectors, T* d_directional) {
    T* after = to.kept;
    const Size length = shape_.length;
    T* d_weights = d_read_weights(carry);
    read_weights_backward(shape_, readers_, to.written, d_read_vectors, d_weights);
    for (Size r = 0; r < readers_; ++r)
      mix_backward(values, d_values, after, r, d_weights + r * length, d_directional,
                   d_contents() + r * length);
    groups(readers_, [&](Size first, auto count) MEMNETS_ALWAYS {
      constexpr Size heads = decltype(count)::value;
      Query<T> queries[heads];
      Content<T> contents[heads];
      QueryGradients<T> d[heads];
      for (Size h = 0; h < heads; ++h) {
        const Size r = first + h;
        queries[h] = read_query(values, r);
        contents[h] = read_content(after, r);
        d[h] = gradients(d_values, r, places_.read_keys, places_.read_masks, places_.read_strengths);
      }
      const Reading<T> read{read_weights(after) + first * length, d_read_vectors + first * shape_.word};
      content_weights_backward<T, true>(shape_, to.written, squares(to), queries, contents,
                                        d_contents() + first * length, carry, d, columns(),
                                        read);
    });
  }

  // The read weights, of the ways to read: backward and forward of each link, and by content.
  void mix(const T* values, T* after, Size r) {
    const Size length = shape_.length;
    T* weights = read_weights(after) + r * length;
    const T* by_content = read_content(after, r).weights;
    if (!links_) {
      copy(weights, by_content, length);
      return;
    }
    fill(weights, length);
    const T* modes = values + places_.read_modes + r * (2 * links_ + 1);
    for (Size direction = 0; direction < 2; ++direction)
      for (Size h = 0; h < links_; ++h) {
        T* row = along(after, direction, r, h);
        if (sharpened_)
          sharpen(shape_, directional_row(after, direction, r, h), T(places_.sharpen_epsilon),
                  values[sharpening(direction, r, h)], row, scratch_);
        add_scaled(weights, modes[direction * links_ + h], row, length);
      }
    add_scaled(weights, modes[2 * links_], by_content, length);
  }

  void mix_backward(const T* values, T* d_values, T* after, Size r, const T* d_weights, T* d_directional,
                    T* d_content) const {
    const Size length = shape_.length;
    if (!links_) {
      copy(d_content, d_weights, length);
      return;
    }
    const Size first = places_.read_modes + r * (2 * links_ + 1);
    for (Size direction = 0; direction < 2; ++direction)
      for (Size h = 0; h < links_; ++h) {
        const Size mode = first + direction * links_ + h;
        T* d_row = at(d_directional, (direction * readers_ + r) * links_ + h);
        const T* row = along(after, direction, r, h);
        put(d_values, mode, dot(d_weights, row, length));
        fill(d_row, length);
        add_scaled(d_row, values[mode], d_weights, length);
        if (sharpened_) {
          const Size power = sharpening(direction, r, h);
          put(d_values, power,
              sharpen_backward(shape_, directional_row(after, direction, r, h),
                               T(places_.sharpen_epsilon), values[power], row, d_row));
        }
      }
    const Size mode = first + 2 * links_;
    put(d_values, mode, dot(d_weights, read_content(after, r).weights, length));
    fill(d_content, length);
    add_scaled(d_content, values[mode], d_weights, length);
  }

  // p = (1 - sum w) p_before + w
  void update_precedence(T* before, T* after, Size h) const {
    const Size length = shape_.length;
    const T* w = write_weights(after) + h * length;
    T* fresh = precedence(after) + h * length;
    copy(fresh, w, length);
    add_scaled(fresh, 1 - sum(w), precedence(before) + h * length, length);
  }

  // d_precedence becomes that of the step before.
  void update_precedence_backward(T* before, T* after, T* carry, Size h) const {
    const Size length = shape_.length;
    const T* w = write_weights(after) + h * length;
    T* d = d_precedence(carry) + h * length;
    T* d_weights = d_write_weights(carry) + h * length;
    const Vector<T> lost(dot(d, precedence(before) + h * length, length)), kept(1 - sum(w));
    for (Size n = 0; n < length; n += lanes<T>) {
      const Vector<T> value = load(d + n);
      store(load(d_weights + n) + value - lost, d_weights + n);
      store(kept * value, d + n);
    }
    zero_padding(d_weights, shape_.slots, length);
  }

  const Given& problem_;
  const DncPlaces& places_;
  Shape shape_;
  Size readers_, writers_, links_;
  bool sharpened_;
  T* scratch_;
};

}  // namespace memnets
