// The temporal links of a sparse DNC, for one row of the batch: each word keeps its strongest links
// before it and after it (memnets.parts.sparse_linkage).
#pragma once

#include <algorithm>
#include <vector>

#include "simd.h"

namespace memnets {

template <class T>
struct Weighted {
  Size slot;
  T weight;
};

template <class T>
using Weighting = std::vector<Weighted<T>>;

template <class T>
Weighting<T> weighting(const Size* slots, const T* weights, Size count) {
  Weighting<T> made(count);
  for (Size p = 0; p < count; ++p) made[p] = {slots[p], weights[p]};
  return made;
}

template <class T>
T weight_of(Size slot, const Weighting<T>& among) {
  T sum = 0;
  for (const Weighted<T>& one : among)
    if (one.slot == slot) sum += one.weight;
  return sum;
}

// Of the two weights, whether the first comes before: the larger one does, and what is not a number.
template <class T>
bool larger(T one, T other) {
  return one > other || (one != one && other == other);
}

// The `count` slots with the largest weights, where a slot that is there twice has their sum.
template <class T>
Weighting<T> merged(Weighting<T> all, Size count) {
  for (std::size_t p = 0; p < all.size(); ++p)
    for (std::size_t q = p + 1; q < all.size(); ++q)
      if (all[p].slot == all[q].slot) {
        all[p].weight += all[q].weight;
        all[q].weight = 0;
      }
  std::stable_sort(all.begin(), all.end(), [](const Weighted<T>& one, const Weighted<T>& other) {
    return larger(one.weight, other.weight);
  });
  all.resize(count);
  return all;
}

// Of each word its links in one direction.
template <class T>
struct LinkTable {
  Size* slots;  // [N, count]
  T* weights;   // [N, count]
  Size count;

  void decay(Size word, const Weighting<T>& written) {
    const T own = 1 - weight_of(word, written);
    for (Size l = word * count; l < (word + 1) * count; ++l)
      weights[l] *= own - weight_of(slots[l], written);
  }

  // Adds links of `word`, which has none to itself, and keeps the largest.
  void add(Size word, const Weighting<T>& more) {
    Weighting<T> all = weighting(slots + word * count, weights + word * count, count);
    for (const Weighted<T>& one : more) all.push_back({one.slot, one.slot == word ? T(0) : one.weight});
    all = merged(std::move(all), count);
    for (Size l = 0; l < count; ++l) {
      slots[word * count + l] = all[l].slot;
      weights[word * count + l] = all[l].weight;
    }
  }

  // The slots of `words`, and what these are linked to.
  std::vector<Size> around(const Weighting<T>& words) const {
    std::vector<Size> found;
    for (const Weighted<T>& one : words) {
      found.push_back(one.slot);
      for (Size l = one.slot * count; l < (one.slot + 1) * count; ++l)
        if (weights[l] > 0) found.push_back(slots[l]);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }
};

template <class T>
std::vector<Size> distinct(const Weighting<T>& words) {
  std::vector<Size> found;
  for (const Weighted<T>& one : words)
    if (std::find(found.begin(), found.end(), one.slot) == found.end()) found.push_back(one.slot);
  return found;
}

// L_ij = (1 - w_i - w_j) L_ij + w_i p_j, of the rows and columns that a write can change.
template <class T>
void update_links(LinkTable<T> before, LinkTable<T> after, const Weighting<T>& written,
                  const Weighting<T>& precedence) {
  const Weighting<T> single = merged(written, Size(written.size()));
  const std::vector<Size> rows = after.around(written), columns = before.around(written);
  for (Size word : rows) before.decay(word, single);
  for (Size word : columns) after.decay(word, single);
  for (Size word : distinct(written)) {
    Weighting<T> more = precedence;
    for (Weighted<T>& one : more) one.weight *= weight_of(word, single);
    before.add(word, more);
  }
  for (Size word : distinct(precedence)) {
    Weighting<T> more = single;
    for (Weighted<T>& one : more) one.weight *= weight_of(word, precedence);
    after.add(word, more);
  }
}

// p = (1 - sum w) p + w, of which the `count` largest are kept.
template <class T>
Weighting<T> update_precedence(Weighting<T> precedence, const Weighting<T>& written, Size count) {
  T left = 0;
  for (const Weighted<T>& one : written) left += one.weight;
  left = 1 - left;
  for (Weighted<T>& one : precedence) one.weight *= left;
  precedence.insert(precedence.end(), written.begin(), written.end());
  return merged(std::move(precedence), count);
}

// What a head reads: of pi_1 b + pi_2 f + pi_3 c the K largest, b and f being where the links of the
// words lead that it read last. The candidates are the K * L slots of b, those of f, and the K of c.
template <class T>
struct DirectedRead {
  Size count, links;         // K, L
  const Size* last_slots;    // [K]
  const T* last_weights;     // [K]
  const Size* found;         // [K]: c
  const T* content;          // [K]
  const T* modes;            // [3]: backward, forward, content
  T* link_weights;           // [2, K, L]: of the words that were read last, kept for the backward
  int32_t* kept;  // [K * (2 * L + 1)]: which of the kept slots a candidate is, -1 for none

  Size candidates() const { return count * (2 * links + 1); }

  void forward(const LinkTable<T>& before, const LinkTable<T>& after, Size* slots, T* weights) const {
    Weighting<T> all;
    const LinkTable<T> tables[2] = {before, after};
    T* link = link_weights;
    for (Size way = 0; way < 2; ++way)
      for (Size k = 0; k < count; ++k)
        for (Size l = last_slots[k] * links; l < (last_slots[k] + 1) * links; ++l) {
          *link++ = tables[way].weights[l];
          all.push_back(
              {tables[way].slots[l], modes[way] * (last_weights[k] * tables[way].weights[l])});
        }
    for (Size k = 0; k < count; ++k) all.push_back({found[k], modes[2] * content[k]});
    choose(all, slots, weights);
  }

  void backward(const T* d_weights, T* d_last, T* d_modes, T* d_content) const {
    std::fill(d_last, d_last + count, T(0));
    std::fill(d_modes, d_modes + 3, T(0));
    const T* link = link_weights;
    const int32_t* place = kept;
    for (Size way = 0; way < 2; ++way)
      for (Size k = 0; k < count; ++k)
        for (Size l = 0; l < links; ++l, ++link, ++place) {
          if (*place < 0) continue;
          const T d = d_weights[*place] * *link;
          d_modes[way] += d * last_weights[k];
          d_last[k] += d * modes[way];
        }
    for (Size k = 0; k < count; ++k, ++place) {
      const T d = *place < 0 ? T(0) : d_weights[*place];
      d_modes[2] += d * content[k];
      d_content[k] = d * modes[2];
    }
  }

 private:
  // As `merged` does, and notes which candidates the weight of each kept slot is made of.
  void choose(const Weighting<T>& all, Size* slots, T* weights) const {
    const Size size = candidates();
    std::vector<Size> first(size), order(size);
    std::vector<T> totals(size);
    for (Size p = 0; p < size; ++p) {
      Size q = 0;
      while (all[q].slot != all[p].slot) ++q;
      first[p] = q;
      order[p] = p;
      totals[q] += all[p].weight;
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](Size one, Size other) { return larger(totals[one], totals[other]); });
    std::vector<int32_t> place(size, -1);
    for (Size k = 0; k < count; ++k) {
      slots[k] = all[order[k]].slot;
      weights[k] = totals[order[k]];
      place[order[k]] = int32_t(k);
    }
    for (Size p = 0; p < size; ++p) kept[p] = place[first[p]];
  }
};

}  // namespace memnets
