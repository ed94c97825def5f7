// How the structures and numbers of problem.h and sparse_problem.h lie in memory, as text: a line for
// each, in order, which memnets/backends/cpu/plan.py compares with its own before it calls anything else.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "problem.h"
#include "sparse_problem.h"

namespace memnets {

struct Place {
  std::string_view structure, field, kind;
  Size size, offset;
};

template <class Value>
constexpr std::string_view kind_of() {
  if constexpr (std::is_array_v<Value>)
    return kind_of<std::remove_extent_t<Value>>();
  else if constexpr (std::is_pointer_v<Value>)
    return "address";
  else
    return std::is_floating_point_v<Value> ? "real" : "integer";
}

#define MEMNETS_PLACE(structure, field)                                                       \
  Place {                                                                                     \
    #structure, #field, kind_of<decltype(structure::field)>(), sizeof(structure::field),      \
        offsetof(structure, field)                                                            \
  }

#define P(field) MEMNETS_PLACE(Layer, field)
constexpr Place layer_places[] = {
    P(width), P(reads), P(below), P(own), P(rows), P(inputs), P(input_stride), P(input_weights),
    P(own_weights), P(bias_ih), P(bias_hh), P(from_input), P(from_input_row), P(z), P(gates), P(cell), P(start_h), P(start_c),
    P(restart_h), P(restart_c), P(end_h), P(end_c), P(d_gates), P(d_start_h), P(d_start_c),
    P(d_restart_h), P(d_restart_c), P(d_end_h), P(d_end_c), P(d_input_weights), P(d_own_weights),
    P(d_bias_ih), P(d_bias_hh)};
#undef P

#define P(field) MEMNETS_PLACE(Field, field)
constexpr Place field_places[] = {P(start), P(count), P(range), P(group), P(limit)};
#undef P

#define P(field) MEMNETS_PLACE(Head, field)
constexpr Place head_places[] = {P(key), P(mask), P(strength),    P(gate),
                                 P(shifts),     P(sharpening),  P(shift_range),
                                 P(similarity_epsilon), P(sharpen_epsilon)};
#undef P

#define P(field) MEMNETS_PLACE(DncPlaces, field)
constexpr Place dnc_places[] = {
    P(read_keys), P(read_strengths), P(write_keys), P(write_strengths), P(free_gates),
    P(allocation_gates), P(write_gates), P(read_modes), P(read_masks),
    P(write_masks), P(sharpenings), P(wipe), P(stop_usage_gradient),
    P(similarity_epsilon), P(allocation_epsilon), P(usage_resolution),
    P(sharpen_epsilon)};
#undef P

#define P(field) MEMNETS_PLACE(Problem, field)
constexpr Place problem_places[] = {
    P(time), P(batch), P(slots), P(word), P(read_heads), P(write_heads), P(hidden), P(depth), P(cell),
    P(skip), P(threads), P(times_kept), P(segment), P(span), P(links_every), P(direct), P(layers), P(lengths), P(starts), P(numbers),
    P(fields_count), P(fields), P(interface_weights), P(interface_bias), P(raw), P(values), P(d_raw),
    P(d_interface_weights), P(d_interface_bias), P(x), P(h), P(read_vectors), P(logits), P(readout_weights), P(readout_bias), P(y), P(d_y), P(d_readout_weights),
    P(d_readout_bias), P(d_h), P(d_read_vectors), P(start_reads), P(end_reads),
    P(d_start_reads), P(d_end_reads), P(restart_reads), P(d_restart_reads), P(heads), P(dnc), P(read_first), P(erase_vectors),
    P(write_vectors), P(records), P(written), P(links), P(records_spent), P(checkpoints), P(fresh), P(start), P(end),
    P(d_start), P(d_end), P(restart), P(d_restart)};
#undef P

#define P(field) MEMNETS_PLACE(SparseStep, field)
constexpr Place sparse_places[] = {
    P(batch), P(slots), P(word), P(read_heads), P(write_heads), P(count), P(links),
    P(read_first), P(threshold), P(epsilon), P(memory), P(accessed), P(before_slots),
    P(before_weights), P(after_slots), P(after_weights), P(sketch), P(sketch_row), P(sketched),
    P(resting), P(steps), P(written), P(read_slots), P(read_weights), P(precedence_slots),
    P(precedence_weights), P(next_steps), P(next_written), P(next_read_slots),
    P(next_read_weights), P(next_write_slots), P(next_write_weights), P(next_precedence_slots),
    P(next_precedence_weights), P(heads_row), P(read_keys), P(read_strengths), P(write_gates),
    P(reuse_gates), P(write_vectors), P(read_modes), P(read_vectors), P(rows), P(kept),
    P(merged), P(old_words), P(old_accessed), P(link_rows), P(old_before_slots),
    P(old_before_weights), P(old_after_slots), P(old_after_weights), P(gradient),
    P(d_read_vectors), P(d_next_read_weights), P(d_next_write_weights), P(d_read_weights),
    P(d_read_keys), P(d_read_strengths), P(d_write_gates), P(d_reuse_gates), P(d_write_vectors),
    P(d_read_modes)};
#undef P

#define P(field) MEMNETS_PLACE(SparseSequence, field)
constexpr Place sequence_places[] = {
    P(time), P(hidden), P(numbers), P(fields_count), P(fields), P(first), P(input_stride),
    P(input_weights), P(own_weights), P(interface_weights), P(interface_bias), P(gates),
    P(cell), P(h), P(read_vectors), P(raw), P(values), P(d_h), P(d_read_vectors), P(d_cell),
    P(d_gates), P(d_raw), P(d_values), P(d_start_h), P(d_start_reads), P(d_weights)};
#undef P

// Every field has a line: all are of the size that they are aligned to, so that there are no gaps.
template <class Structure, std::size_t count>
constexpr bool complete(const Place (&places)[count]) {
  Size end = 0;
  for (const Place& place : places) {
    if (place.offset != end) return false;
    end += place.size;
  }
  return end == static_cast<Size>(sizeof(Structure));
}
static_assert(complete<Layer>(layer_places) && complete<Field>(field_places) &&
                  complete<Head>(head_places) && complete<DncPlaces>(dnc_places) &&
                  complete<Problem>(problem_places) && complete<SparseStep>(sparse_places) &&
                  complete<SparseSequence>(sequence_places),
              "layout.h must list every field of problem.h and sparse_problem.h, in order");

template <std::size_t count>
void describe(std::string& text, const Place (&places)[count]) {
  for (const Place& place : places) {
    text.append(place.structure).append(".").append(place.field).append(": ").append(place.kind);
    text += " of " + std::to_string(place.size) + " bytes at " + std::to_string(place.offset) + "\n";
  }
}

inline std::string layout() {
  std::string text;
  describe(text, layer_places);
  describe(text, field_places);
  describe(text, head_places);
  describe(text, dnc_places);
  describe(text, problem_places);
  describe(text, sparse_places);
  describe(text, sequence_places);
  const auto number = [&text](const char* name, auto value) {
    text.append(name).append(" = ") += std::to_string(static_cast<Size>(value)) + "\n";
  };
  number("Cell.lstm", Cell::lstm);
  number("Cell.gru", Cell::gru);
  number("Cell.elman", Cell::elman);
  number("Cell.feedforward", Cell::feedforward);
  number("Cell.feedforward_tanh", Cell::feedforward_tanh);
  number("Range.real", Range::real);
  number("Range.unit", Range::unit);
  number("Range.oneplus", Range::oneplus);
  number("Range.positive", Range::positive);
  number("Range.simplex", Range::simplex);
  number("Range.bounded", Range::bounded);
  number("most_past", most_past);
  return text;
}

}  // namespace memnets
