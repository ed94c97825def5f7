// A step of a sparse memory (memnets.sam.step, memnets.sdnc.step) and its backward, of one row of the
// batch: it writes, links and reads; or reads and writes.
#pragma once

#include <utility>

#include "last_access.h"
#include "sketch.h"
#include "sparse_links.h"
#include "sparse_problem.h"
#include "sparse_reads.h"

namespace memnets {

template <class T>
class SparseRow {
 public:
  SparseRow(const SparseStep& step, Size row)
      : p(step),
        b(row),
        slots(step.slots),
        word(step.word),
        reads(step.read_heads * step.count),
        places(step.write_heads * (step.count + 1)),
        count(step.count),
        links(step.links),
        resting(step.resting && step.resting[row]) {
    T* next = numbers(p.kept, kept_size(p));
    const auto take = [&next](Size size) { return std::exchange(next, next + size); };
    found_words = take(reads * word);
    content = take(reads);
    visible = take(reads);
    last = take(p.write_heads * count);
    open = take(p.write_heads * count);
    if (!links) return;
    directed_words = take(reads * word);
    directed = take(reads);
    link_weights = take(reads * 2 * links);
  }

  // How many numbers of a row are kept for the backward.
  static Size kept_size(const SparseStep& p) {
    const Size reads = p.read_heads * p.count, along = p.links ? reads * (p.word + 1 + 2 * p.links) : 0;
    return reads * (p.word + 2) + 2 * p.write_heads * p.count + along;
  }

  // Finds where each head writes: what its read head read last, and an unused word. False where the
  // state names a slot that there is not; nothing is changed then.
  bool choose() const {
    const Size written = p.written[b];
    if (written < 0 || written > slots || !are_slots(last_slots(), reads)) return false;
    std::vector<Size> unused(p.write_heads);
    const Size end = std::min(slots, written + p.write_heads);
    least_recent(part(p.accessed, slots), end, p.write_heads, unused.data());
    Size* next = write_slots();
    for (Size h = 0; h < p.write_heads; ++h) {
      next = std::copy_n(last_slots() + h * count, count, next);
      *next++ = unused[h];
    }
    return !links || (are_slots(part(p.precedence_slots, links), links) &&
                      are_linked(last_slots(), reads) && are_linked(write_slots(), places));
  }

  void forward() const {
    if (p.read_first) read_by_content(p.written[b]);
    write();
    if (!p.read_first) read_by_content(p.next_written[b]);
    if (links) {
      link();
      read_along();
    }
    note_accesses();
    p.next_steps[b] = p.steps[b] + 1;
  }

  void backward() const {
    std::fill_n(numbers(p.d_read_weights, reads), reads, T(0));
    if (p.read_first) write_backward();
    if (links)
      read_along_backward();
    else
      read_by_content_backward(numbers(p.d_next_read_weights, reads), numbers(p.d_read_vectors, p.read_heads * word));
    if (!p.read_first) write_backward();
  }

 private:
  // The part of this row of a tensor [B, size]; null of null.
  T* numbers(void* all, Size size) const { return part(static_cast<T*>(all), size); }
  const T* numbers(const void* all, Size size) const { return part(static_cast<const T*>(all), size); }
  template <class Value>
  Value* part(Value* all, Size size) const {
    return all ? all + b * size : nullptr;
  }

  // As `numbers`, of what the heads receive.
  template <class Pointer>
  auto heads(Pointer* all, Size size) const {
    return numbers(all, 0) + b * (p.heads_row ? p.heads_row : size);
  }

  const Size* last_slots() const { return part(p.read_slots, reads); }
  Size* write_slots() const { return part(p.next_write_slots, places); }
  T* words() const { return numbers(p.memory, slots * word); }
  Size* found_rows() const { return part(p.rows, reads); }
  Size* directed_rows() const { return found_rows() + p.batch * reads; }
  Size* written_rows() const { return part(p.rows + (links ? 2 : 1) * p.batch * reads, places); }
  LinkTable<T> before() const {
    return {part(p.before_slots, slots * links), numbers(p.before_weights, slots * links), links};
  }
  LinkTable<T> after() const {
    return {part(p.after_slots, slots * links), numbers(p.after_weights, slots * links), links};
  }

  bool are_slots(const Size* names, Size size) const {
    return std::all_of(names, names + size, [this](Size n) { return n >= 0 && n < slots; });
  }

  bool are_linked(const Size* names, Size size) const {
    return std::all_of(names, names + size, [this](Size n) {
      return are_slots(before().slots + n * links, links) && are_slots(after().slots + n * links, links);
    });
  }

  void note_rows(const Size* names, Size size, Size* rows) const {
    for (Size i = 0; i < size; ++i) rows[i] = b * slots + names[i];
  }

  void copy_words(const Size* names, Size size, T* to) const {
    for (Size i = 0; i < size; ++i) to = std::copy_n(words() + names[i] * word, word, to);
  }

  // w = alpha (gamma w_r(t-1), 1 - gamma), of which a word that was never written gets nothing.
  void write() const {
    const T* before = numbers(p.read_weights, reads);
    T* weights = numbers(p.next_write_weights, places);
    Size latest = p.written[b];
    for (Size h = 0; h < p.write_heads; ++h) {
      const T gate = heads(p.write_gates, p.write_heads)[h];
      const T reuse = heads(p.reuse_gates, p.write_heads)[h];
      for (Size k = h * count; k < (h + 1) * count; ++k) {
        open[k] = last_slots()[k] < p.written[b];
        last[k] = open[k] ? before[k] : T(0);
        *weights++ = gate * (reuse * last[k]);
      }
      *weights++ = gate * (1 - reuse);
      latest = std::max(latest, unused(h) + 1);
    }
    p.next_written[b] = latest;
    note_rows(write_slots(), places, written_rows());
    if (p.old_words) copy_words(write_slots(), places, numbers(p.old_words, places * word));
    if (!resting) write_words();
  }

  Size unused(Size head) const { return write_slots()[(head + 1) * (count + 1) - 1]; }

  void write_words() const {
    const T* weights = numbers(p.next_write_weights, places);
    for (Size h = 0; h < p.write_heads; ++h) std::fill_n(words() + unused(h) * word, word, T(0));
    for (Size i = 0; i < places; ++i)
      add_times(weights[i], heads(p.write_vectors, p.write_heads * word) + i / (count + 1) * word,
                words() + write_slots()[i] * word, word);
    if constexpr (std::is_same_v<T, float>)
      if (p.sketch)
        for (Size i = 0; i < places; ++i)
          sketch_word(words() + write_slots()[i] * word, word,
                      sketch_block(p.sketch + b * p.sketch_row, write_slots()[i], word),
                      write_slots()[i] % block_words);
  }

  void write_backward() const {
    const T* weights = numbers(p.d_next_write_weights, places);
    T* d_last = numbers(p.d_read_weights, reads);
    for (Size h = 0; h < p.write_heads; ++h) {
      const T* vector = heads(p.write_vectors, p.write_heads * word) + h * word;
      T* d_vector = heads(p.d_write_vectors, p.write_heads * word) + h * word;
      const T gate = heads(p.write_gates, p.write_heads)[h];
      const T reuse = heads(p.reuse_gates, p.write_heads)[h];
      T d_gate = 0, d_reuse = 0;
      std::fill_n(d_vector, word, T(0));
      for (Size k = 0; k <= count; ++k) {
        const Size place = h * (count + 1) + k, from = h * count + k;
        const T share = k < count ? reuse * last[from] : 1 - reuse;
        T d_weight = weights ? weights[place] : T(0);
        if (!resting) {
          const T* d_added = gradient(written_rows()[place]);
          add_times(gate * share, d_added, d_vector, word);
          d_weight += inner_product(d_added, vector, word);
        }
        d_gate += d_weight * share;
        d_reuse += gate * d_weight * (k < count ? last[from] : T(-1));
        if (k < count && open[from]) d_last[from] += reuse * gate * d_weight;
      }
      heads(p.d_write_gates, p.write_heads)[h] = d_gate;
      heads(p.d_reuse_gates, p.write_heads)[h] = d_reuse;
    }
    if (resting) return;
    for (Size h = 0; h < p.write_heads; ++h)
      std::fill_n(gradient(written_rows()[(h + 1) * (count + 1) - 1]), word, T(0));
  }

  T* gradient(Size row) const { return static_cast<T*>(p.gradient) + row * word; }

  // Of a SAM this is what is read; of an SDNC what is found by content, which it may read.
  void read_by_content(Size written) const {
    std::vector<Size> found(reads);
    const Search wanted{words(), heads(p.read_keys, p.read_heads * word), &written, found.data(),
                        p.sketched ? p.sketch + b * p.sketch_row : nullptr, 1, slots * word,
                        p.read_heads, word, slots, count, p.sketch_row, p.epsilon};
    search<T>(wanted);
    note_rows(found.data(), reads, found_rows());
    copy_words(found.data(), reads, found_words);
    T* vectors = numbers(p.read_vectors, p.read_heads * word);
    for (Size h = 0; h < p.read_heads; ++h) found_by(h).forward(content + h * count, vectors + h * word);
    if (links) return;
    std::copy(found.begin(), found.end(), part(p.next_read_slots, reads));
    for (Size i = 0; i < reads; ++i) {
      visible[i] = !p.read_first || found[i] < written;
      numbers(p.next_read_weights, reads)[i] = visible[i] ? content[i] : T(0);
    }
  }

  SparseRead<T> found_by(Size head) const {
    return {count, word, T(p.epsilon), found_words + head * count * word,
            heads(p.read_keys, p.read_heads * word) + head * word,
            heads(p.read_strengths, p.read_heads)[head]};
  }

  // Of gradients that are null, 0.
  void read_by_content_backward(const T* d_weights, const T* d_vectors) const {
    std::vector<T> d(count);
    for (Size h = 0; h < p.read_heads; ++h) {
      const Size first = h * count;
      for (Size k = 0; k < count; ++k)
        d[k] = d_weights && (links || visible[first + k]) ? d_weights[first + k] : T(0);
      const T d_strength = found_by(h).backward(
          content + first, d.data(), d_vectors ? d_vectors + h * word : nullptr,
          [&](Size k) { return gradient(found_rows()[first + k]); },
          heads(p.d_read_keys, p.read_heads * word) + h * word);
      heads(p.d_read_strengths, p.read_heads)[h] = d_strength;
    }
  }

  void link() const {
    const auto written = weighting(write_slots(), numbers(p.next_write_weights, places), places);
    const auto precedence =
        weighting(part(p.precedence_slots, links), numbers(p.precedence_weights, links), links);
    if (p.link_rows) keep_links();
    if (!resting) update_links<T>(before(), after(), written, precedence);
    const auto next = update_precedence(precedence, written, links);
    for (Size l = 0; l < links; ++l) {
      part(p.next_precedence_slots, links)[l] = next[l].slot;
      numbers(p.next_precedence_weights, links)[l] = next[l].weight;
    }
  }

  // The rows of the tables that a write may change, as they are before it.
  void keep_links() const {
    std::vector<Size> names(write_slots(), write_slots() + places);
    const Size* latest = part(p.precedence_slots, links);
    names.insert(names.end(), latest, latest + links);
    for (Size i = 0; i < places; ++i)
      for (const LinkTable<T>& table : {before(), after()}) {
        const Size* near = table.slots + write_slots()[i] * links;
        names.insert(names.end(), near, near + links);
      }
    const Size size = Size(names.size());
    note_rows(names.data(), size, part(p.link_rows, size));
    Size* to_before = part(p.old_before_slots, size * links);
    Size* to_after = part(p.old_after_slots, size * links);
    T* weights_before = numbers(p.old_before_weights, size * links);
    T* weights_after = numbers(p.old_after_weights, size * links);
    for (Size name : names) {
      to_before = std::copy_n(before().slots + name * links, links, to_before);
      to_after = std::copy_n(after().slots + name * links, links, to_after);
      weights_before = std::copy_n(before().weights + name * links, links, weights_before);
      weights_after = std::copy_n(after().weights + name * links, links, weights_after);
    }
  }

  DirectedRead<T> along(Size head, const Size* found) const {
    const Size first = head * count, ways = 2 * count * links;
    return {count,           links,           last_slots() + first, numbers(p.read_weights, reads) + first,
            found,           content + first, heads(p.read_modes, 3 * p.read_heads) + 3 * head,
            link_weights + head * ways,       part(p.merged, p.read_heads * (ways + count)) + head * (ways + count)};
  }

  void read_along() const {
    Size* chosen = part(p.next_read_slots, reads);
    T* vectors = numbers(p.read_vectors, p.read_heads * word);
    std::vector<Size> found(reads);
    for (Size i = 0; i < reads; ++i) found[i] = found_rows()[i] - b * slots;
    for (Size h = 0; h < p.read_heads; ++h)
      along(h, found.data() + h * count)
          .forward(before(), after(), chosen + h * count, directed + h * count);
    std::copy_n(directed, reads, numbers(p.next_read_weights, reads));
    note_rows(chosen, reads, directed_rows());
    copy_words(chosen, reads, directed_words);
    std::fill_n(vectors, p.read_heads * word, T(0));
    for (Size i = 0; i < reads; ++i)
      add_times(directed[i], directed_words + i * word, vectors + i / count * word, word);
  }

  void read_along_backward() const {
    const T* d_weights = numbers(p.d_next_read_weights, reads);
    const T* d_vectors = numbers(p.d_read_vectors, p.read_heads * word);
    std::vector<T> d(reads), d_content(reads);
    for (Size i = 0; i < reads; ++i) {
      d[i] = d_weights ? d_weights[i] : T(0);
      if (!d_vectors) continue;
      const T* d_vector = d_vectors + i / count * word;
      d[i] += inner_product(directed_words + i * word, d_vector, word);
      add_times(directed[i], d_vector, gradient(directed_rows()[i]), word);
    }
    for (Size h = 0; h < p.read_heads; ++h)
      along(h, nullptr).backward(d.data() + h * count, numbers(p.d_read_weights, reads) + h * count,
                                 heads(p.d_read_modes, 3 * p.read_heads) + 3 * h,
                                 d_content.data() + h * count);
    read_by_content_backward(d_content.data(), nullptr);
  }

  // A word is accessed if its weights of the step, read and written, sum to more than the threshold.
  void note_accesses() const {
    Weighting<T> all = weighting(part(p.next_read_slots, reads), numbers(p.next_read_weights, reads), reads);
    for (Weighted<T>& one : all)
      if (one.slot >= p.next_written[b]) one.weight = 0;
    const auto written = weighting(write_slots(), numbers(p.next_write_weights, places), places);
    all.insert(all.end(), written.begin(), written.end());
    Size* accessed = part(p.accessed, slots);
    if (p.old_accessed)
      for (Size i = 0; i < reads + places; ++i)
        (i < reads ? part(p.old_accessed, reads) + i
                   : part(p.old_accessed + p.batch * reads, places) + i - reads)[0] = accessed[all[i].slot];
    if (resting) return;
    for (const Weighted<T>& one : all)
      if (weight_of(one.slot, all) > T(p.threshold)) accessed[one.slot] = p.steps[b] + 1;
  }

  const SparseStep& p;
  Size b, slots, word, reads, places, count, links;
  bool resting;

  // Kept for the backward.
  T* found_words;     // [R, K, W]
  T* content;         // [R, K]: the weights by content
  T* visible;         // [R, K]: 1; 0 for a word of no weight, which was not written when it was read
  T* last;            // [H, K]: the weights of the last read, 0 of words that were not written then
  T* open;            // [H, K]: 1; 0 of these words
  T* directed_words;  // [R, K, W]: those that are read along the links or by content
  T* directed;        // [R, K]
  T* link_weights;    // [R, 2, K, L]
};

}  // namespace memnets
