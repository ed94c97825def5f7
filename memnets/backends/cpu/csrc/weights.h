// The weights that a loop multiplies with at every step: packed once a call (matmul.h), or read where
// they are (direct.h).
#pragma once

#include <vector>

#include "direct.h"
#include "matmul.h"
#include "problem.h"

namespace memnets {

// What a loop multiplies with. Forward: C = D + A weights^T. Backward: C = D + A weights, always packed.
// D may be C; a stride of 0 takes one row for all, as of a bias.
template <class T>
class Product {
 public:
  Product(const Problem& problem, Size rows, Size columns, bool forward)
      : columns_(forward ? rows : columns),
        forward_(forward),
        direct_(forward && problem.direct),
        packed_(direct_ ? 0 : forward ? columns : rows, direct_ ? 0 : forward ? rows : columns) {}

  // weights[row + i, column + j] = from[i, j]
  void put(const void* from, Size stride, Size row, Size rows, Size column, Size columns) {
    const T* first = static_cast<const T*>(from);
    if (direct_)
      weights_.put(first, stride, row, rows, column, columns);
    else if (forward_)
      packed_.put(first, column, columns, 1, row, rows, stride);
    else
      packed_.put(first, row, rows, stride, column, columns, 1);
  }

  void multiply(Size count, const T* a, Size a_stride, const T* d, Size d_stride, T* c,
                Size c_stride) const {
    if (!direct_) return packed_.multiply(count, a, a_stride, d, d_stride, c, c_stride);
    if (d != c)
      for (Size i = 0; i < count; ++i) std::memcpy(c + i * c_stride, d + i * d_stride, columns_ * sizeof(T));
    weights_.multiply(count, a, a_stride, c, c_stride);
  }

 private:
  Size columns_;
  bool forward_, direct_;
  Packed<T> packed_;
  Direct<T> weights_;
};

template <class T>
struct Weights {
  static constexpr bool inputs_and_readout = true;  // it has those too
  std::vector<Product<T>> layers;
  Product<T> interface_part;
  std::vector<Product<T>> inputs;  // of x, where a step multiplies it: [I] to [rows],
  std::vector<Buffer<T>> biases;   // and the gates' biases
  std::vector<Product<T>> readout;  // of h, and of the read vectors; backward of both as one
};

template <class T>
Product<T> layer_product(const Problem& problem, const Layer& layer, bool forward) {
  const Size hidden = problem.hidden, inner = layer.own >= 0 ? layer.own : layer.width;
  const bool gru = static_cast<Cell>(problem.cell) == Cell::gru;
  Product<T> product(problem, layer.rows, layer.width, forward);
  const T* input = static_cast<const T*>(layer.input_weights) + layer.inputs;
  product.put(input, layer.input_stride, 0, gru ? 3 * hidden : layer.rows, 0, inner);
  if (layer.own >= 0) {
    const T* own = static_cast<const T*>(layer.own_weights);
    product.put(own, hidden, 0, gru ? 2 * hidden : layer.rows, inner, hidden);
    if (gru) product.put(own + 2 * hidden * hidden, hidden, 3 * hidden, hidden, inner, hidden);
  }
  return product;
}

template <class T>
Product<T> input_product(const Problem& problem, const Layer& layer) {
  const bool gru = static_cast<Cell>(problem.cell) == Cell::gru;
  Product<T> product(problem, layer.rows, layer.inputs, true);
  product.put(layer.input_weights, layer.input_stride, 0, gru ? 3 * problem.hidden : layer.rows, 0,
              layer.inputs);
  return product;
}

// Four blocks of a GRU: reset, update, and the new value's parts without and with h(t-1).
template <class T>
Buffer<T> gate_biases(const Problem& problem, const Layer& layer) {
  const bool gru = static_cast<Cell>(problem.cell) == Cell::gru;
  const Size hidden = problem.hidden, shared = gru ? 2 * hidden : layer.rows;
  const T* from_input = static_cast<const T*>(layer.bias_ih);
  const T* from_own = static_cast<const T*>(layer.bias_hh);
  Buffer<T> biases(from_input, from_input + (gru ? 3 * hidden : layer.rows));
  biases.resize(layer.rows);
  if (!from_own) return biases;
  for (Size i = 0; i < shared; ++i) biases[i] += from_own[i];
  if (gru) std::copy(from_own + 2 * hidden, from_own + 3 * hidden, biases.begin() + 3 * hidden);
  return biases;
}

template <class T>
Weights<T> weights_of(const Problem& problem, bool forward) {
  const Size outputs = problem.hidden * (problem.skip ? problem.depth : 1);
  Weights<T> weights{{}, Product<T>(problem, problem.numbers, outputs, forward), {}, {}, {}};
  weights.interface_part.put(problem.interface_weights, outputs, 0, problem.numbers, 0, outputs);
  for (Size l = 0; l < problem.depth; ++l) {
    const Layer& layer = problem.layers[l];
    weights.layers.push_back(layer_product<T>(problem, layer, forward));
    if (!forward || !problem.x) continue;
    weights.inputs.push_back(input_product<T>(problem, layer));
    weights.biases.push_back(gate_biases<T>(problem, layer));
  }
  const Size reads = problem.read_heads * problem.word;
  const T* from = static_cast<const T*>(problem.readout_weights);
  if (forward && problem.logits)
    for (const auto& [first, columns] : {std::pair(from, outputs), std::pair(from + outputs, reads)}) {
      Product<T> product(problem, problem.logits, columns, forward);
      product.put(first, outputs + reads, 0, problem.logits, 0, columns);
      weights.readout.push_back(std::move(product));
    }
  if (!forward && problem.d_y) {
    Product<T> product(problem, problem.logits, outputs + reads, forward);
    product.put(from, outputs + reads, 0, problem.logits, 0, outputs + reads);
    weights.readout.push_back(std::move(product));
  }
  return weights;
}

}  // namespace memnets
