// What Python passes: plain sizes and pointers, mirrored field by field in memnets/backends/cpu/plan.py, which
// compares them with layout.h's list when the library is loaded.
//
// Axes: B batch, T time, N memory slots, W word, R read heads, H write heads, I input. Every tensor
// is contiguous unless strides are given; `kept` tensors have T (or T + 1) times when a backward
// will need them and one, with a time stride of 0, when none will. Numbers are int64_t here, whatever a
// Size is.
#pragma once

#include "vectors.h"

namespace memnets {

enum class Cell : Size { lstm, gru, elman, feedforward, feedforward_tanh };
enum class Range : Size { real, unit, oneplus, positive, simplex, bounded };

constexpr Size state_parts = 6;

// One layer of the controller. Its recurrent input z holds, in this order and each where it has
// any: the read vectors, the output of the layer below, its own output of the step before.
struct Layer {
  int64_t width;         // of z
  int64_t reads;         // where they stand in z; -1 for nowhere
  int64_t below;
  int64_t own;
  int64_t rows;          // of the product: gates * hidden (4 * hidden of a GRU)
  int64_t inputs;        // numbers of x that it sees: columns of input_weights before z's
  int64_t input_stride;  // of input_weights
  void* input_weights;  // [rows, inputs + width - hidden]; of a GRU 3 blocks, the first three
  void* own_weights;    // [rows, hidden], null without `own`; of a GRU its blocks 1, 2 and 4
  void* bias_ih;        // [rows]; of a GRU 3 blocks; all of it of a cell without bias_hh
  void* bias_hh;        // null, or [rows]; of a GRU 3 blocks
  void* from_input;   // what z does not hold: input and biases, [T * B, rows]; null where x is given
  int64_t from_input_row;  // stride; 0 where all rows are the same
  void* z;            // kept [T + 1, B, width]
  void* gates;        // kept [T, B, rows], activated
  void* cell;         // kept [T + 1, B, hidden], of an LSTM
  void* start_h;      // [B, hidden]
  void* start_c;
  void* restart_h;    // [B, hidden]: what a row begins anew from, null without `starts`
  void* restart_c;
  void* end_h;
  void* end_c;
  void* d_gates;      // [T, B, rows]: gradient of what the activations take
  void* d_start_h;
  void* d_start_c;
  void* d_restart_h;  // zeros at first: a row's starts add to it
  void* d_restart_c;
  void* d_end_h;      // may be null
  void* d_end_c;
  void* d_input_weights;  // [rows, inputs + width - hidden]; of a GRU 3 blocks
  void* d_own_weights;
  void* d_bias_ih;        // that of both biases, but of a GRU
  void* d_bias_hh;        // of a GRU
};

// A run of the interface's numbers with one range; a simplex comes in groups.
struct Field {
  int64_t start;
  int64_t count;
  int64_t range;
  int64_t group;
  double limit;       // what is above is set to it; infinity: none
};

// Where a head of an NTM finds its parameters among the interface's numbers; -1: it has none.
struct Head {
  int64_t key;
  int64_t mask;
  int64_t strength;
  int64_t gate;
  int64_t shifts;
  int64_t sharpening;
  int64_t shift_range;
  double similarity_epsilon;
  double sharpen_epsilon;
};

// Where the DNC finds its parameters, and its settings.
struct DncPlaces {
  int64_t read_keys, read_strengths, write_keys, write_strengths;
  int64_t free_gates, allocation_gates, write_gates;
  int64_t read_modes;               // -1 without a linkage
  int64_t read_masks, write_masks;  // -1 where content is compared whole
  int64_t sharpenings;              // -1 where the ways along the link are taken as they are
  int64_t wipe;                     // 1 where what is freed is wiped
  int64_t stop_usage_gradient;
  double similarity_epsilon;
  double allocation_epsilon;
  double usage_resolution;
  double sharpen_epsilon;
};

struct Problem {
  int64_t time, batch, slots, word, read_heads, write_heads;
  int64_t hidden, depth, cell, skip;  // skip: the output is that of all layers side by side
  int64_t threads, times_kept;        // times_kept: 1 where tensors marked kept have all times, else 0
  int64_t segment;                    // memory records are kept for this many steps at once,
  int64_t span;                       // and what of them can be written again for this many;
  int64_t links_every;                // links are kept every so many steps, at most most_past + 1; it
                                   // divides a segment that is not the whole sequence
  int64_t direct;                     // the weights are read where they are: packing them costs more
                                   // than a few steps of a few rows
  Layer* layers;
  int64_t* lengths;                   // [B], or null where every row is T long
  uint8_t* starts;                 // [T, B]: 1 where a row begins anew before a step, 0 past its
                                   // length; or null

  int64_t numbers, fields_count;      // of the interface
  Field* fields;
  void* interface_weights;         // [numbers, outputs]
  void* interface_bias;
  void* raw;                       // kept [T, B, numbers]
  void* values;                    // kept [T, B, numbers], activated
  void* d_raw;                     // [T, B, numbers]

  void* d_interface_weights;
  void* d_interface_bias;

  void* x;                         // [T, B, I]; null where a forward is given `from_input`
  void* h;                         // [T, B, outputs]
  void* read_vectors;              // [T, B, R * W]
  int64_t logits;                     // O; 0 where the readout is left to the caller
  void* readout_weights;           // [O, outputs + R * W]
  void* readout_bias;
  void* y;                         // [T, B, O]
  void* d_y;                       // may be null
  void* d_readout_weights;         // null without d_y
  void* d_readout_bias;
  void* d_h;                       // may be null
  void* d_read_vectors;            // may be null
  void* start_reads;               // [B, R * W]
  void* end_reads;
  void* d_start_reads;
  void* d_end_reads;               // may be null
  void* restart_reads;             // null without `starts`
  void* d_restart_reads;           // zeros at first

  Head* heads;                     // R + H, reads first; null for a DNC
  DncPlaces* dnc;                  // null for an NTM
  int64_t read_first;
  int64_t erase_vectors, write_vectors;

  void* records;                   // [B, segment + 1, kept]
  void* written;                   // [B, span + 1, written]
  void* links;                     // kept [B, segment / links_every + 1, links]
  int64_t records_spent;              // a backward before this one has overwritten the last span
  void* checkpoints;               // [B, spans, state], where there are several spans
  void* fresh;                     // [B, record]: that of a row that begins anew, where any may
  void* start[state_parts];        // null: zero
  void* end[state_parts];
  void* d_start[state_parts];      // null: not wanted
  void* d_end[state_parts];        // null: zero
  void* restart[state_parts];      // null: zero
  void* d_restart[state_parts];    // null: not wanted
};

}  // namespace memnets
