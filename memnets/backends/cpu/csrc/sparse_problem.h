// What Python passes for a step of a sparse memory: plain sizes and addresses, mirrored field by field
// in memnets/backends/cpu/sparse_plan.py, which compares them with layout.h's list.
//
// Axes: B batch, N memory slots, W word, R read heads, H write heads; K words that a head reads, L links
// of a word. Every tensor is contiguous. Numbers are of the library's kind, slots and times int64_t.
#pragma once

#include "problem.h"

namespace memnets {

struct SparseStep {
  int64_t batch, slots, word, read_heads, write_heads;
  int64_t count;       // K
  int64_t links;       // L; 0 for a SAM
  int64_t read_first;  // whether the memory is read as the step before left it
  double threshold;    // of the weights of an access
  double epsilon;      // of the cosine

  // The state, which the step changes in place.
  void* memory;             // [B, N, W]
  int64_t* accessed;        // [B, N]
  int64_t* before_slots;    // [B, N, L]; all four null without links
  void* before_weights;
  int64_t* after_slots;
  void* after_weights;
  uint8_t* sketch;          // of the memory (sketch.h), `sketch_row` bytes a row; null for none
  int64_t sketch_row;
  int64_t sketched;         // whether the scan looks at it
  const bool* resting;      // [B]: rows that the step changes nothing of in place; null for none

  // The state, of which the step makes another.
  const int64_t* steps;            // [B]
  const int64_t* written;          // [B]
  const int64_t* read_slots;       // [B, R, K]: what was read last
  const void* read_weights;        // [B, R, K]
  const int64_t* precedence_slots;  // [B, L]
  const void* precedence_weights;
  int64_t* next_steps;
  int64_t* next_written;
  int64_t* next_read_slots;
  void* next_read_weights;
  int64_t* next_write_slots;  // [B, H, K + 1]
  void* next_write_weights;
  int64_t* next_precedence_slots;
  void* next_precedence_weights;

  // What the heads receive, each and its gradient with rows `heads_row` apart, 0 where it is contiguous;
  // and what they read.
  int64_t heads_row;
  const void* read_keys;        // [B, R, W]
  const void* read_strengths;   // [B, R]
  const void* write_gates;      // [B, H]
  const void* reuse_gates;      // [B, H]
  const void* write_vectors;    // [B, H, W]
  const void* read_modes;       // [B, R, 3]; null without links
  void* read_vectors;           // [B, R, W]

  // What the backward needs. A row of B * N has the number b * N + slot.
  int64_t* rows;    // of the words found by content [B, R, K], read along links [B, R, K], written
                    // [B, H, K + 1]; in the backward, where in `gradient` they are
  void* kept;       // [B, ...]: see SparseRow
  int32_t* merged;  // [B, R, K (2 L + 1)]: see DirectedRead; null without links

  // What puts back how it was, or null. A table of links has the rows of the words that are written, of
  // the precedence, and of the links in both directions of each that is written.
  void* old_words;            // [B, H, K + 1, W]
  int64_t* old_accessed;      // [B, R, K] of the words that are read, then [B, H, K + 1]
  int64_t* link_rows;         // [B, P]
  int64_t* old_before_slots;  // [B, P, L]
  void* old_before_weights;
  int64_t* old_after_slots;
  void* old_after_weights;

  // The gradients that come in, null for 0, and those that go out.
  void* gradient;               // [rows, W], of the words; changed in place
  const void* d_read_vectors;
  const void* d_next_read_weights;
  const void* d_next_write_weights;
  void* d_read_weights;
  void* d_read_keys;
  void* d_read_strengths;
  void* d_write_gates;
  void* d_reuse_gates;
  void* d_write_vectors;
  void* d_read_modes;
};

// Several steps of a layer whose controller is one LSTM: what has a time axis begins at the first.
struct SparseSequence {
  int64_t time, hidden, numbers, fields_count;
  Field* fields;
  SparseStep* first;       // its tensors of the state have T + 1 times, all else T; d_ tensors have none
  int64_t input_stride;    // of input_weights
  void* input_weights;     // [4 * hidden, R * W], for what was read
  void* own_weights;       // [4 * hidden, hidden]
  void* interface_weights;  // [numbers, hidden]
  void* interface_bias;
  void* gates;             // [T, B, 4 * hidden]: the part of the input and the biases; then activated
  void* cell;              // [T + 1, B, hidden]
  void* h;                 // [T + 1, B, hidden]
  void* read_vectors;      // [T + 1, B, R * W]
  void* raw;               // [T, B, numbers]
  void* values;            // [T, B, numbers]
  const void* d_h;             // [T, B, hidden], may be null
  const void* d_read_vectors;  // [T, B, R * W], may be null
  void* d_cell;            // [B, hidden]: of the last in, of the first out
  void* d_gates;           // [T, B, 4 * hidden]: of what the activations take
  void* d_raw;             // [T, B, numbers]
  void* d_values;          // [B, numbers], for a step
  void* d_start_h;         // [B, hidden]
  void* d_start_reads;     // [B, R * W]
  void* d_weights;         // [B, R, K], for a step
};

}  // namespace memnets
