// A copy of words in bytes, and bounds of cosines by it.
//
// Of a word m it keeps a scale s = max_j |m_j| / 127, the bytes q_j = m_j / s to the nearest, and the
// square of its length. A key k is made of whole numbers in the same way, k_j = t p_j, of 16 bits. Then
// |k . m - s t p . q| <= s (|k|_1 / 2 + 127 |k - t p|_1), as no byte is off by more than a half, nor
// larger than 127. A cosine lies within this of s t p . q, times the inverse root that it is computed
// with. What is rounded beside is added: see `SketchedKey`.
//
// Words lie together in blocks: their scales, their squares, then of each two of their W numbers two
// bytes a word.
#pragma once

#include "search.h"

namespace memnets {

constexpr Size block_words = 32, largest_byte = 127;
// Beyond these a word has no scale, and is looked at itself. The squares of what is between are
// normal numbers, and so are their products with the square of a key that is between them too.
constexpr float smallest_sketched = 1e-7f, largest_sketched = 1e7f;

inline Size pairs_of(Size word) { return (word + 1) / 2; }
inline Size block_bytes(Size word) { return block_words * (8 + 2 * pairs_of(word)); }

// Where the sketch of a row has the block of a slot.
inline uint8_t* sketch_block(uint8_t* row, Size slot, Size word) {
  return row + slot / block_words * block_bytes(word);
}

inline void sketch_word(const float* word, Size size, uint8_t* block, Size lane) {
  float largest = 0, square = 0;
  bool finite = true;
  for (Size j = 0; j < size; ++j) {
    largest = std::max(largest, std::abs(word[j]));
    finite = finite && std::isfinite(word[j]);
    square += word[j] * word[j];
  }
  float* scales = reinterpret_cast<float*>(block);
  int8_t* bytes = reinterpret_cast<int8_t*>(block + 8 * block_words);
  const bool sketched = finite && largest >= smallest_sketched && largest <= largest_sketched;
  const float scale = sketched ? largest / largest_byte : 0, inverse = sketched ? 1 / scale : 0;
  scales[lane] = sketched || (largest == 0 && finite) ? scale : std::numeric_limits<float>::quiet_NaN();
  scales[block_words + lane] = square;
  for (Size j = 0; j < size; ++j)
    bytes[(j / 2 * block_words + lane) * 2 + j % 2] =
        sketched ? int8_t(std::clamp(std::nearbyint(word[j] * inverse), -127.0f, 127.0f)) : 0;
}

// What a head looks for, and what it may be.
class Candidates {
 public:
  explicit Candidates(Size count) : lowest_(count) {}

  // A word whose upper bound is below this is not among the best.
  float least() const { return lowest_.least(); }

  void offer(float upper, float lower, Size slot) {
    if (lower == lower) lowest_.offer(lower, slot);
    kept_.push_back({upper, slot});
    if (kept_.size() == room_) {
      clear();
      room_ = std::max<std::size_t>(room_, 2 * kept_.size());
    }
  }

  // Those that may be among the best.
  const std::vector<Scored<float>>& kept() {
    clear();
    return kept_;
  }

 private:
  void clear() {
    std::erase_if(kept_, [&](const Scored<float>& one) { return one.score < least(); });
  }

  Best<float> lowest_;
  std::vector<Scored<float>> kept_;
  std::size_t room_ = 4096;
};

// A key in whole numbers, and how far its product with a word may be from that with the bytes.
struct SketchedKey {
  std::vector<int32_t> pairs;  // two numbers of 16 bits each
  float step;                  // t
  float slack;                 // in units of the word's scale

  SketchedKey(const float* key, Size word) : pairs(pairs_of(word)) {
    float largest = 0;
    for (Size j = 0; j < word; ++j) largest = std::max(largest, std::abs(key[j]));
    // The sum of W products is below 2^31.
    constexpr Size largest_sum = (Size(1) << 31) - 1;
    const Size most = std::min<Size>(32767, largest_sum / (largest_byte * 2 * pairs_of(word)));
    step = largest / float(most);
    double size = 0, error = 0;
    for (Size j = 0; j < word; ++j) {
      const double wanted = double(key[j]) / step;
      const int32_t whole = int32_t(std::clamp(std::nearbyint(wanted), -double(most), double(most)));
      pairs[j / 2] |= j % 2 ? int32_t(uint32_t(whole) << 16) : whole & 0xffff;
      size += std::abs(double(key[j]));
      error += std::abs(double(key[j]) - double(step) * whole);
    }
    // In the last of 24 bits: the scale, the division by it and the step; the sum of W products of the
    // cosine itself, and of the squares of its root; the sum that becomes a float, times the step; and
    // the product with the scale and the root, which is rounded here and there.
    const double rounding = largest_byte * (2.0 * word + 32) * std::numeric_limits<float>::epsilon();
    slack = float((size * (0.5 + rounding) + largest_byte * error) * (1 + 1e-6));
  }
};

constexpr Size side_by_side = 2;  // vectors of words: with four heads, as many sums as wait for nobody

// The sums of bytes times the keys of `count` heads, raised by the slack of each.
template <Size count>
MEMNETS_INLINE void products(const int8_t* bytes, const SketchedKey* keys, Size pairs,
                             Vector<float> (&found)[side_by_side][count]) {
  native::Ints sums[side_by_side][count];
  const int32_t* key_pairs[count];
  MEMNETS_UNROLL
  for (Size h = 0; h < count; ++h) key_pairs[h] = keys[h].pairs.data();
  MEMNETS_UNROLL
  for (Size v = 0; v < side_by_side; ++v)
    MEMNETS_UNROLL
    for (Size h = 0; h < count; ++h) sums[v][h] = native::everywhere(0);
  for (Size j = 0; j < pairs; ++j, bytes += 2 * block_words) {
    native::Ints values[side_by_side];
    MEMNETS_UNROLL
    for (Size v = 0; v < side_by_side; ++v) values[v] = native::widened(bytes + 2 * v * lanes<float>);
    MEMNETS_UNROLL
    for (Size h = 0; h < count; ++h) {
      const native::Ints key = native::everywhere(key_pairs[h][j]);
      MEMNETS_UNROLL
      for (Size v = 0; v < side_by_side; ++v)
        sums[v][h] = native::add_pairs(values[v], key, sums[v][h]);
    }
  }
  MEMNETS_UNROLL
  for (Size v = 0; v < side_by_side; ++v)
    MEMNETS_UNROLL
    for (Size h = 0; h < count; ++h) {
      const Vector<float> sum(native::as_floats(sums[v][h]));
      found[v][h] = multiply_add(sum, Vector<float>(keys[h].step), Vector<float>(keys[h].slack));
    }
}

// Offers as many words as a vector has numbers, from `slot` on, to a head, by their raised sums.
inline void offer(Vector<float> raised, float slack, Vector<float> unit, Size slot, Size count,
                  Candidates& candidates) {
  const Vector<float> small(1e-30f);  // more than what is too small to be a normal number
  float uppers[lanes<float>], lowers[lanes<float>];
  store(multiply_add(unit, raised, small), uppers);
  store(unit * (raised - Vector<float>(2 * slack)) - small, lowers);
  for (Size i = 0; i < count; ++i)
    if (!(uppers[i] < candidates.least())) candidates.offer(uppers[i], lowers[i], slot + i);
}

// Offers the words of a row to `count` heads from `first` on.
//
// Of most words it is enough to know that s (t p . q + slack) / sqrt(|m|^2 + epsilon / |k|^2), which is
// the upper bound times |k|, is below what the head looks for, times |k|: with the |k| of the longest
// key in the root it is not less, and the same for all heads.
template <Size count>
void sketched_heads(const uint8_t* sketch, Size written, const Keys<float>& keys, Size first,
                    std::vector<Candidates>& candidates) {
  const Size bytes = block_bytes(keys.word), pairs = pairs_of(keys.word);
  const float* squares = keys.squares.data() + first;
  const Vector<float> epsilon(keys.epsilon / *std::max_element(squares, squares + count));
  Vector<float> sums[side_by_side][count], least[count];
  std::vector<SketchedKey> sketched;
  for (Size h = 0; h < count; ++h) {
    sketched.emplace_back(keys.key(first + h), keys.word);
    least[h] = Vector<float>(-std::numeric_limits<float>::infinity());
  }
  for (Size start = 0; start < written; start += block_words, sketch += bytes) {
    // The processor's own prefetching ends at each page.
    for (Size line = 0; line < bytes; line += 64) __builtin_prefetch(sketch + 4 * bytes + line);
    for (Size part = 0; part < block_words; part += side_by_side * lanes<float>) {
      products<count>(reinterpret_cast<const int8_t*>(sketch + 8 * block_words) + 2 * part,
                      sketched.data(), pairs, sums);
      MEMNETS_UNROLL
      for (Size v = 0; v < side_by_side; ++v) {
        const Size lane = part + v * lanes<float>, left = written - start - lane;
        if (left <= 0) break;
        const float* scales = reinterpret_cast<const float*>(sketch) + lane;
        const Vector<float> scale = load(scales), norms = load(scales + block_words);
        const Vector<float> common = scale * (norms + epsilon).inverse_root();
        MEMNETS_UNROLL
        for (Size h = 0; h < count; ++h) {
          if (all_below(common * sums[v][h], least[h])) continue;
          Candidates& wanted = candidates[first + h];
          offer(sums[v][h], sketched[h].slack, keys.cosine(first + h, scale, norms), start + lane,
                std::min(left, lanes<float>), wanted);
          // The last factor is for what is rounded; a bound of 0 or less says nothing here.
          if (wanted.least() > 0)
            least[h] = Vector<float>(wanted.least() * std::sqrt(squares[h]) * (1 - 1e-5f));
        }
      }
    }
  }
}

inline bool can_sketch(const Keys<float>& keys) {
  for (const float square : keys.squares)
    if (!(square >= 1e-12f && square <= 1e14f)) return false;
  return true;
}

inline void sketched_scan(const float* words, const uint8_t* sketch, Size written,
                          const Keys<float>& keys, Size count, std::vector<Best<float>>& best) {
  std::vector<Candidates> candidates(keys.heads, Candidates(count));
  Size head = 0;
  for (; head + 4 <= keys.heads; head += 4) sketched_heads<4>(sketch, written, keys, head, candidates);
  for (; head < keys.heads; ++head) sketched_heads<1>(sketch, written, keys, head, candidates);
  for (Size h = 0; h < keys.heads; ++h) {
    Ranked<float> ranked(keys, h, best[h]);
    for (const auto& one : candidates[h].kept()) ranked.offer(words + one.slot * keys.word, one.slot);
    ranked.finish();
  }
}

// The words most like each key, of each row of the batch.
template <class T>
void search(const Search& search) {
  const T* words = static_cast<const T*>(search.words);
  for (Size b = 0; b < search.batch; ++b, words += search.row) {
    const Size head = b * search.heads, written = search.written[b];
    const Keys<T> keys(static_cast<const T*>(search.keys) + head * search.word, search.heads,
                       search.word, T(search.epsilon));
    std::vector<Best<T>> best(search.heads, Best<T>(search.count));
    bool sketched = false;
    if constexpr (std::is_same_v<T, float>) {
      sketched = search.sketch && can_sketch(keys);
      if (sketched)
        sketched_scan(words, static_cast<const uint8_t*>(search.sketch) + b * search.sketch_row,
                      written, keys, search.count, best);
    }
    if (!sketched) plain_scan(words, written, keys, best);
    offer_unwritten(words, written, search, keys, best);
    for (Size h = 0; h < search.heads; ++h) {
      Size* found = search.found + (head + h) * search.count;
      for (const Scored<T>& one : best[h].kept()) *found++ = one.slot;
      std::sort(found - search.count, found);
    }
  }
}

}  // namespace memnets
