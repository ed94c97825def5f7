// Which words are most like a key: an exact scan for all heads at once, without a gradient.
//
// The plain scan computes each cosine. The sketched one computes bounds of it from a copy of the words
// in bytes (sketch.h), and the cosine itself of those words alone that may be among the best. Both
// compute a cosine by the same operations in the same order, and so they find the same words, ties
// and what is not a number included.
#pragma once

#include <limits>
#include <vector>

#include "vectors.h"

namespace memnets {

struct Search {
  const void* words;  // [batch, slots, word]: of each row the first words, `row` numbers apart
  const void* keys;   // [batch, heads, word]
  const Size* written;  // [batch]: the words below it were written
  Size* found;          // [batch, heads, count]
  const void* sketch;   // of the words, `sketch_row` bytes apart; null for the plain scan
  Size batch, row, heads, word, slots, count, sketch_row;
  double epsilon;
};

template <class T>
struct Scored {
  T score;
  Size slot;

  // Of equal words the lower slot comes first. What is not a number is scored as infinity.
  bool before(const Scored& other) const {
    return score > other.score || (score == other.score && slot < other.slot);
  }
};

// The best of those that were offered.
template <class T>
class Best {
 public:
  explicit Best(Size count) : count_(count) { kept_.reserve(count + 1); }

  // What is scored below is not among the best.
  T least() const {
    return Size(kept_.size()) < count_ ? -std::numeric_limits<T>::infinity() : kept_.back().score;
  }

  void offer(T score, Size slot) {
    const Scored<T> one{score == score ? score : std::numeric_limits<T>::infinity(), slot};
    if (Size(kept_.size()) == count_ && !one.before(kept_.back())) return;
    auto place = kept_.end();
    while (place != kept_.begin() && one.before(*(place - 1))) --place;
    kept_.insert(place, one);
    if (Size(kept_.size()) > count_) kept_.pop_back();
  }

  const std::vector<Scored<T>>& kept() const { return kept_; }

 private:
  Size count_;
  std::vector<Scored<T>> kept_;
};

// The keys of one row, and what a cosine needs of them.
template <class T>
class Keys {
 public:
  Keys(const T* keys, Size how_many, Size size, T small)
      : heads(how_many), word(size), epsilon(small), squares(how_many), keys_(keys) {
    for (Size h = 0; h < heads; ++h) squares[h] = product(key(h), key(h));
  }

  const T* key(Size head) const { return keys_ + head * word; }

  T product(const T* a, const T* b) const {
    Vector<T> sum(0);
    each<T>(word, [&](Size start, Size count) {
      sum = multiply_add(load(a + start, count), load(b + start, count), sum);
    });
    return total(sum);
  }

  // cos(key, word) = key . word / sqrt(|key|^2 |word|^2 + epsilon) (memnets.parts.content) of as many
  // words as a vector has numbers, by their products with the key and with themselves.
  Vector<T> cosine(Size head, Vector<T> products, Vector<T> norms) const {
    const Vector<T> squared = multiply_add(Vector<T>(squares[head]), norms, Vector<T>(epsilon));
    return products * squared.inverse_root();
  }

  Size heads, word;
  T epsilon;
  std::vector<T> squares;

 private:
  const T* keys_;
};

// Offers words to one head: a cosine is computed when there are as many as a vector has numbers.
template <class T>
class Ranked {
 public:
  Ranked(const Keys<T>& keys, Size head, Best<T>& best) : keys_(keys), best_(best), head_(head) {}

  void offer(const T* word, Size slot) {
    offer(keys_.product(word, keys_.key(head_)), keys_.product(word, word), slot);
  }

  void offer(T product, T norm, Size slot) {
    products_[waiting_] = product;
    norms_[waiting_] = norm;
    slots_[waiting_] = slot;
    if (++waiting_ == lanes<T>) finish();
  }

  // To be called after the last word.
  void finish() {
    const Vector<T> cosines = keys_.cosine(head_, load(products_, waiting_), load(norms_, waiting_));
    store(cosines, cosines_);
    for (Size i = 0; i < waiting_; ++i)
      if (!(cosines_[i] < best_.least())) best_.offer(cosines_[i], slots_[i]);
    waiting_ = 0;
  }

 private:
  const Keys<T>& keys_;
  Best<T>& best_;
  Size head_, waiting_ = 0;
  T products_[lanes<T>], norms_[lanes<T>], cosines_[lanes<T>];
  Size slots_[lanes<T>];
};

// Every written word of a row, for each head.
template <class T>
void plain_scan(const T* words, Size written, const Keys<T>& keys, std::vector<Best<T>>& best) {
  std::vector<Ranked<T>> ranked;
  for (Size h = 0; h < keys.heads; ++h) ranked.emplace_back(keys, h, best[h]);
  for (Size n = 0; n < written; ++n, words += keys.word) {
    const T norm = keys.product(words, words);
    for (Size h = 0; h < keys.heads; ++h) ranked[h].offer(keys.product(words, keys.key(h)), norm, n);
  }
  for (Ranked<T>& one : ranked) one.finish();
}

// Words that were never written are all equal: the first of them stands for all.
template <class T>
void offer_unwritten(const T* words, Size written, const Search& search, const Keys<T>& keys,
                     std::vector<Best<T>>& best) {
  if (written >= search.slots) return;
  const Size last = std::min(search.slots, written + search.count);
  for (Size h = 0; h < keys.heads; ++h) {
    Ranked<T> ranked(keys, h, best[h]);
    for (Size n = written; n < last; ++n) ranked.offer(words + written * keys.word, n);
    ranked.finish();
  }
}

}  // namespace memnets
