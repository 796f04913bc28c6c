// SPDX-License-Identifier: MIT
#include <delve/forward_hook.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/script.h>
#include <torch/torch.h>

#include "autocast.hpp"
#include "catch.hpp"
#include "events.hpp"

namespace test_forward_hook {

using delve::ForwardCall;
using delve::register_forward_hook;
using delve_test::Events;
namespace nn = torch::nn;

namespace {

/// Runs a module, and checks that its hook is called once and sees what the module returns.
template <typename Module>
void check_seen(Module module, const torch::Tensor& input) {
  Events events;
  const auto handle = register_forward_hook(module, events.hook());
  const torch::Tensor output = module->forward(input);
  REQUIRE(events.count() == 1);
  CHECK(torch::equal(events[0].output, output));
  CHECK(events[0].training);
}

}  // namespace

TEST_CASE("A Linear is seen at every rank, with its bias", "[hook][linear]") {
  torch::manual_seed(1);
  for (const bool has_bias : {true, false}) {
    nn::Linear linear(nn::LinearOptions(6, 4).bias(has_bias));
    if (has_bias) torch::NoGradGuard(), linear->bias.set_data(torch::full({4}, 100.0));
    for (const std::vector<std::int64_t>& shape :
         std::vector<std::vector<std::int64_t>>{{6}, {5, 6}, {3, 5, 6}, {2, 3, 5, 6}, {1, 6}}) {
      CAPTURE(has_bias, shape);
      check_seen(linear, torch::randn(shape));
      check_seen(linear, torch::randn(shape).requires_grad_());
    }
  }
}

TEST_CASE("A Conv2d is seen in every form", "[hook][conv]") {
  torch::manual_seed(2);
  const auto options = nn::Conv2dOptions(4, 8, 3);
  const torch::Tensor input = torch::randn({2, 4, 9, 9});
  check_seen(nn::Conv2d(options), input);
  check_seen(nn::Conv2d(nn::Conv2dOptions(options).bias(false)), input);
  check_seen(nn::Conv2d(nn::Conv2dOptions(options).groups(2).stride(2)), input);
  check_seen(nn::Conv2d(nn::Conv2dOptions(options).padding(torch::kSame)), input);
  check_seen(nn::Conv2d(nn::Conv2dOptions(options).padding(2).padding_mode(torch::kCircular)),
             input);
  check_seen(nn::Conv2d(options), torch::randn({4, 9, 9}));
  check_seen(nn::Conv2d(options), input.to(torch::MemoryFormat::ChannelsLast));
}

TEST_CASE("An LSTM is seen once, with its states", "[hook][lstm]") {
  torch::manual_seed(3);
  for (const bool batch_first : {true, false}) {
    for (const bool bidirectional : {true, false}) {
      nn::LSTM lstm(nn::LSTMOptions(5, 7)
                        .num_layers(2)
                        .batch_first(batch_first)
                        .bidirectional(bidirectional));
      Events events;
      const auto handle = register_forward_hook(lstm, events.hook());
      const auto [output, states] = lstm(torch::randn({3, 4, 5}));
      REQUIRE(events.count() == 1);
      REQUIRE(events[0].outputs.size() == 3);
      CHECK(torch::equal(events[0].outputs[0], output));
      CHECK(torch::equal(events[0].outputs[1], std::get<0>(states)));
      CHECK(torch::equal(events[0].outputs[2], std::get<1>(states)));
    }
  }
}

TEST_CASE("An LSTM is seen with packed sequences", "[hook][lstm]") {
  nn::LSTM lstm(nn::LSTMOptions(5, 7));
  Events events;
  const auto handle = register_forward_hook(lstm, events.hook());
  const auto packed = nn::utils::rnn::pack_padded_sequence(
      torch::randn({4, 3, 5}), torch::tensor({4, 2, 1}), /*batch_first=*/false);
  const auto output = std::get<0>(lstm->forward_with_packed_input(packed));
  REQUIRE(events.count() == 1);
  CHECK(torch::equal(events[0].output, output.data()));
}

TEST_CASE("Modules are found on the stack, in holders and behind pointers", "[hook]") {
  const torch::Tensor input = torch::randn({2, 3});
  Events events;
  nn::LinearImpl on_stack(3, 2);
  nn::Linear holder(3, 2);
  auto pointer = std::make_shared<nn::LinearImpl>(3, 2);
  nn::AnyModule any{nn::Linear(3, 2)};
  std::shared_ptr<nn::Module> base = holder.ptr();
  const auto a = register_forward_hook(on_stack, events.hook());
  const auto b = register_forward_hook(holder, events.hook());
  const auto c = register_forward_hook(pointer, events.hook());
  const auto d = register_forward_hook(any, events.hook());
  const auto e = register_forward_hook(base, events.hook());
  on_stack.forward(input);
  CHECK(events.count() == 1);
  holder->forward(input);  // hooked twice
  CHECK(events.count() == 3);
  pointer->forward(input);
  CHECK(events.count() == 4);
  any.forward(input);
  CHECK(events.count() == 5);
}

TEST_CASE("The output is seen before what happens to it in place", "[hook]") {
  nn::Linear linear(4, 4);
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  const torch::Tensor input = torch::randn({8, 4});
  const torch::Tensor expected = linear(input).clone();
  linear(input).relu_();
  CHECK(torch::equal(events[1].output, expected));
  CHECK((expected < 0).any().item<bool>());
}

TEST_CASE("The input is handed over too", "[hook]") {
  nn::Linear linear(4, 2);
  const torch::Tensor input = torch::randn({3, 5, 4});
  torch::Tensor seen;
  const auto handle =
      register_forward_hook(linear, [&](const ForwardCall& call) { seen = call.input; });
  linear(input);
  CHECK(seen.is_same(input));
}

TEST_CASE("Backward, double backward and the optimiser are no forward", "[hook][backward]") {
  torch::manual_seed(4);
  nn::Sequential net(nn::Conv2d(nn::Conv2dOptions(3, 4, 3)), nn::Flatten(), nn::Linear(144, 6),
                     nn::Linear(nn::LinearOptions(6, 2).bias(false)));
  nn::LSTM lstm(nn::LSTMOptions(4, 4));
  Events events;
  std::vector<delve::RemovableHandle> handles;
  for (const std::size_t i : {0u, 2u, 3u}) {
    handles.push_back(register_forward_hook(net->ptr(i), events.hook()));
  }
  handles.push_back(register_forward_hook(lstm, events.hook()));

  std::vector<torch::Tensor> parameters = net->parameters();
  for (const torch::Tensor& parameter : lstm->parameters()) parameters.push_back(parameter);
  torch::optim::SGD sgd(parameters, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(0.1));
  torch::optim::Adam adam(parameters, torch::optim::AdamOptions().weight_decay(0.1));
  for (int step = 0; step < 3; ++step) {
    const torch::Tensor input = torch::randn({5, 3, 8, 8}).requires_grad_();
    const torch::Tensor loss = net->forward(input).square().sum() +
                               std::get<0>(lstm(torch::randn({3, 2, 4}))).square().sum();
    const auto gradient = torch::autograd::grad({loss}, {input}, {}, true, true)[0];
    (loss + gradient.square().sum()).backward();
    sgd.step();
    adam.step();
    torch::nn::utils::clip_grad_norm_(parameters, 1.0);
  }
  CHECK(events.count() == 3 * 4);
}

TEST_CASE("Backward of a scripted Linear is no forward", "[hook][backward]") {
  // Its backward is matmul(gradient, weight), the weight in the place that it has in a forward.
  nn::Linear linear(nn::LinearOptions(5, 5).bias(false));
  torch::jit::Module script("script");
  script.register_parameter("weight", linear->weight, /*is_buffer=*/false);
  script.define("def forward(self, x):\n  return torch.linear(torch.relu(x), self.weight)\n");
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  for (int step = 0; step < 6; ++step) {  // interpreted first, optimised later
    const torch::Tensor input = torch::randn({3, 5}).requires_grad_();
    const torch::Tensor output = script.forward({input}).toTensor();
    REQUIRE(events.count() == step + 1);
    CHECK(torch::allclose(events[static_cast<std::size_t>(step)].output, output));
    output.square().sum().backward();
    CHECK(events.count() == step + 1);
  }
}

TEST_CASE("Views, penalties and copies of a weight are no forward", "[hook]") {
  nn::Linear linear(6, 6);
  nn::Linear plain(nn::LinearOptions(6, 6).bias(false));
  Events events;
  const auto a = register_forward_hook(linear, events.hook());
  const auto b = register_forward_hook(plain, events.hook());
  const torch::Tensor input = torch::randn({2, 6});
  for (nn::Linear& module : std::vector<nn::Linear>{linear, plain}) {
    const torch::Tensor& weight = module->weight;
    weight.t().contiguous().sum();
    weight.matmul(weight.t());                      // a Gram matrix
    input.matmul(weight.slice(0, 0, 3).t());        // a part of it
    torch::cat({weight, weight}).clone().square();  // weight decay by hand
    weight.detach().add(1).to(torch::kDouble);
    auto copy = std::dynamic_pointer_cast<nn::LinearImpl>(module->clone());
    copy->forward(input);
  }
  CHECK(events.count() == 0);
}

TEST_CASE("A functional call is a forward of the layer whose weight it takes", "[hook]") {
  torch::manual_seed(11);
  namespace F = torch::nn::functional;
  nn::Linear linear(4, 6);
  nn::Linear plain(nn::LinearOptions(4, 6).bias(false));
  Events events;
  const auto a = register_forward_hook(linear, events.hook());
  const auto b = register_forward_hook(plain, events.hook());
  // Those with a bias give the sum to the hook, all others the product.
  const torch::Tensor weight = linear->weight.detach().clone();
  const torch::Tensor bias = linear->bias.detach().clone();
  const auto check = [&](const char* call, const torch::Tensor& input, bool has_bias,
                         const auto& run) {
    CAPTURE(call, input.sizes(), has_bias);
    events.clear();
    const torch::Tensor output = run(input);
    output.sum().backward();
    REQUIRE(events.count() == 1);
    const torch::Tensor product = torch::einsum("...i,oi->...o", {input, weight});
    CHECK(torch::allclose(events[0].output, has_bias ? product + bias : product, 1e-4, 1e-6));
  };
  const torch::Tensor& w = linear->weight;
  for (const torch::Tensor& input : {torch::randn({3, 4}), torch::randn({2, 3, 4})}) {
    check("linear", input, true, [&](const auto& x) { return F::linear(x, w, linear->bias); });
    check("linear", input, false, [&](const auto& x) { return F::linear(x, w); });
    check("torch::linear", input, false, [&](const auto& x) { return torch::linear(x, w); });
    check("matmul", input, false, [&](const auto& x) { return torch::matmul(x, w.t()); });
    check("matmul and an activation in place", input, false,
          [&](const auto& x) { return torch::matmul(x, w.t()).relu_(); });
    check("matmul + b", input, true, [&](const auto& x) { return x.matmul(w.t()) + linear->bias; });
    check("b + matmul", input, true, [&](const auto& x) { return linear->bias + x.matmul(w.t()); });
    check("matmul += b", input, true, [&](const auto& x) {
      torch::Tensor product = x.matmul(w.t());
      return product += linear->bias;
    });
    check("matmul + residual", input, false,
          [&](const auto& x) { return x.matmul(w.t()) + torch::ones_like(x).narrow(-1, 0, 1); });
  }
  const torch::Tensor rows = torch::randn({3, 4});
  check("mm", rows, false, [&](const auto& x) { return torch::mm(x, w.t()); });
  check("mm + b", rows, true, [&](const auto& x) { return torch::mm(x, w.t()) + linear->bias; });
  events.clear();
  const torch::Tensor plain_product = torch::mm(rows, plain->weight.t());
  REQUIRE(events.count() == 1);  // at once, for no bias can follow
  CHECK(torch::equal(events[0].output, plain_product));

  nn::Conv2d conv(nn::Conv2dOptions(2, 3, 3));
  Events conv_events;
  const auto c = register_forward_hook(conv, conv_events.hook());
  const torch::Tensor maps = F::conv2d(torch::randn({1, 2, 5, 5}), conv->weight);
  REQUIRE(conv_events.count() == 1);
  CHECK(torch::equal(conv_events[0].output, maps));
}

TEST_CASE("A call without a bias waits for the next operator, and is not lost", "[hook]") {
  nn::Linear linear(4, 6);
  Events events;
  auto handle = register_forward_hook(linear, events.hook());
  const torch::NoGradGuard no_grad;
  const torch::Tensor input = torch::randn({3, 4});
  const torch::Tensor transposed = linear->weight.t();
  torch::mm(input, transposed);
  handle.check();
  CHECK(events.count() == 1);
  torch::mm(input, transposed);
  handle.remove();
  CHECK(events.count() == 2);
}

TEST_CASE("A call with another bias is that of another layer", "[hook][tied]") {
  namespace F = torch::nn::functional;
  nn::Linear linear(4, 6);
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  nn::Linear tied(4, 6);  // not hooked
  tied->weight = linear->weight;
  nn::Conv2d conv(nn::Conv2dOptions(2, 3, 3));
  const auto conv_handle = register_forward_hook(conv, events.hook());
  for (const torch::Tensor& input :
       {torch::randn({4}), torch::randn({3, 4}), torch::randn({2, 3, 4})}) {
    CAPTURE(input.sizes());
    tied(input).sum().backward();
    torch::linear(input, tied->weight, tied->bias).sum().backward();
    (input.matmul(tied->weight.t()) + tied->bias).sum().backward();
  }
  F::conv2d(torch::randn({1, 2, 5, 5}), conv->weight,
            F::Conv2dFuncOptions().bias(torch::zeros({3})));
  CHECK(events.count() == 0);
}

TEST_CASE("A call without a bias is of none of several biased layers", "[hook][tied]") {
  namespace F = torch::nn::functional;
  nn::Linear first(4, 6);
  nn::Linear second(4, 6);
  nn::Linear without(nn::LinearOptions(4, 6).bias(false));
  second->weight = first->weight;
  Events events;
  Events plain_events;
  const auto a = register_forward_hook(first, events.hook());
  const auto b = register_forward_hook(second, events.hook());
  const auto run = [&] {
    for (const torch::Tensor& input : {torch::randn({3, 4}), torch::randn({2, 3, 4})}) {
      F::linear(input, first->weight).sum().backward();
      torch::linear(input, first->weight).sum().backward();
    }
  };
  run();
  CHECK(events.count() == 0);
  without->weight = first->weight;
  const auto c = register_forward_hook(without, plain_events.hook());
  run();
  CHECK(events.count() == 0);
  CHECK(plain_events.count() == 4);
  CHECK_FALSE(a.is_ambiguous());
  CHECK_FALSE(b.is_ambiguous());
}

TEST_CASE("A tied decoder is no forward of the encoder", "[hook][tied]") {
  nn::Linear encoder(nn::LinearOptions(6, 6).bias(false));
  nn::Linear biased(6, 6);
  Events events;
  const auto a = register_forward_hook(encoder, events.hook());
  const auto b = register_forward_hook(biased, events.hook());
  const torch::Tensor input = torch::randn({4, 6});
  for (const nn::Linear& module : {encoder, biased}) {
    nn::functional::linear(input, module->weight.t());
    nn::functional::linear(input, module->weight.t(), torch::zeros({6}));
    torch::linear(input, module->weight.t());
    torch::matmul(input, module->weight);
  }
  CHECK(events.count() == 0);
}

TEST_CASE("The way back through a convolution is no forward of it", "[hook][tied]") {
  torch::manual_seed(5);
  // As many channels in as out: the weight fits both ways, and the shapes tell nothing.
  const auto check = [](auto forward_module, auto transposed_module, const torch::Tensor& input) {
    Events conv_events;
    Events transposed_events;
    const auto a = register_forward_hook(forward_module, conv_events.hook());
    const auto b = register_forward_hook(transposed_module, transposed_events.hook());
    const auto decoded = [&](const torch::Tensor& code, const torch::Tensor& weight) {
      switch (input.dim()) {
        case 3:
          return torch::conv_transpose1d(code, weight);
        case 4:
          return torch::conv_transpose2d(code, weight);
        default:
          return torch::conv_transpose3d(code, weight);
      }
    };
    const auto encoded = [&](const torch::Tensor& code, const torch::Tensor& weight) {
      switch (input.dim()) {
        case 3:
          return torch::conv1d(code, weight);
        case 4:
          return torch::conv2d(code, weight);
        default:
          return torch::conv3d(code, weight);
      }
    };
    CAPTURE(input.sizes());
    const torch::Tensor code = forward_module(input);
    decoded(code, forward_module->weight).square().sum().backward();
    CHECK(conv_events.count() == 1);
    const torch::Tensor wide = transposed_module(input);
    encoded(wide, transposed_module->weight).square().sum().backward();
    CHECK(transposed_events.count() == 1);
    CHECK(conv_events.count() == 1);

    // Traced modules call this operator for both; its argument tells which it is.
    const auto spatial = static_cast<std::size_t>(input.dim() - 2);
    const std::vector<std::int64_t> ones(spatial, 1);
    const std::vector<std::int64_t> zeros(spatial, 0);
    const auto traced = [&](const torch::Tensor& weight, bool transposed) {
      torch::_convolution(input, weight, {}, ones, zeros, ones, transposed, zeros, 1, false, false,
                          true, true);
      torch::convolution(input, weight, {}, ones, zeros, ones, transposed, zeros, 1);
    };
    traced(forward_module->weight, /*transposed=*/true);
    traced(transposed_module->weight, /*transposed=*/false);
    CHECK(conv_events.count() == 1);
    CHECK(transposed_events.count() == 1);
    traced(forward_module->weight, /*transposed=*/false);
    CHECK(conv_events.count() == 3);
    traced(transposed_module->weight, /*transposed=*/true);
    CHECK(transposed_events.count() == 3);
  };
  check(nn::Conv1d(nn::Conv1dOptions(8, 8, 3).bias(false)),
        nn::ConvTranspose1d(nn::ConvTranspose1dOptions(8, 8, 3).bias(false)),
        torch::randn({2, 8, 7}));
  check(nn::Conv2d(nn::Conv2dOptions(8, 8, 3).bias(false)),
        nn::ConvTranspose2d(nn::ConvTranspose2dOptions(8, 8, 3).bias(false)),
        torch::randn({2, 8, 7, 7}));
  check(nn::Conv3d(nn::Conv3dOptions(8, 8, 3).bias(false)),
        nn::ConvTranspose3d(nn::ConvTranspose3dOptions(8, 8, 3).bias(false)),
        torch::randn({2, 8, 7, 7, 7}));
}

TEST_CASE("A traced decoder is no forward of its encoder", "[hook][tied]") {
  nn::Conv2d conv(nn::Conv2dOptions(8, 8, 3).bias(false));
  torch::jit::Module decoder("decoder");
  decoder.register_parameter("weight", conv->weight, /*is_buffer=*/false);
  decoder.define(
      "def forward(self, x):\n  return torch._convolution(x, self.weight, None, [1, 1], [0, 0], "
      "[1, 1], True, [0, 0], 1, False, False, True, True)\n");
  Events events;
  const auto handle = register_forward_hook(conv, events.hook());
  for (int step = 0; step < 4; ++step) {  // interpreted first, optimised later
    const torch::Tensor code = conv(torch::randn({2, 8, 7, 7}));
    decoder.forward({code}).toTensor().square().sum().backward();
    CHECK(events.count() == step + 1);
  }
}

TEST_CASE("What an operator of another kind does inside is no forward", "[hook]") {
  torch::manual_seed(6);
  nn::Linear input_gates(nn::LinearOptions(5, 28).bias(false));
  nn::Linear hidden_gates(7, 28);
  Events events;
  const auto a = register_forward_hook(input_gates, events.hook());
  const auto b = register_forward_hook(hidden_gates, events.hook());
  // An LSTM made of the weights of Linears: their products happen inside its operator.
  const std::vector<torch::Tensor> states = {torch::randn({3, 7}), torch::randn({3, 7})};
  torch::lstm_cell(torch::randn({3, 5}), states, input_gates->weight, hidden_gates->weight,
                   torch::zeros({28}), hidden_gates->bias);
  const std::vector<torch::Tensor> stacked = {states[0].unsqueeze(0), states[1].unsqueeze(0)};
  const std::vector<torch::Tensor> weights = {input_gates->weight, hidden_gates->weight,
                                              torch::zeros({28}), hidden_gates->bias};
  torch::lstm(torch::randn({4, 3, 5}), stacked, weights, true, 1, 0.0, true, false, false);
  CHECK(events.count() == 0);
  input_gates(torch::randn({3, 5}));
  hidden_gates(states[0]);
  CHECK(events.count() == 2);
}

TEST_CASE("Products of weights alone are no forward", "[hook]") {
  torch::manual_seed(7);
  nn::Linear first(nn::LinearOptions(6, 6).bias(false));
  nn::Linear second(nn::LinearOptions(6, 6).bias(false));
  nn::Linear biased(6, 6);
  nn::Conv2d conv(nn::Conv2dOptions(3, 3, 3).bias(false));
  const bool in_one_storage = GENERATE(false, true);
  if (in_one_storage) {
    std::vector<torch::Tensor> parameters = {first->weight, second->weight, biased->weight,
                                             biased->bias, conv->weight};
    nn::utils::vector_to_parameters(nn::utils::parameters_to_vector(parameters).clone(),
                                    parameters);
    REQUIRE(first->weight.storage().is_alias_of(conv->weight.storage()));
  }
  Events events;
  const auto a = register_forward_hook(first, events.hook());
  const auto b = register_forward_hook(second, events.hook());
  const auto c = register_forward_hook(biased, events.hook());
  const auto d = register_forward_hook(conv, events.hook());
  for (int moves = 0; moves < 2; ++moves) {
    CAPTURE(in_one_storage, moves);
    first->weight.t().matmul(second->weight.t());              // two layers in one
    first->weight.matmul(second->weight.t());                  // how alike their rows are
    first->weight.slice(0, 2, 5).matmul(second->weight.t());   // of some rows
    first->weight.view({2, 3, 6}).matmul(second->weight.t());  // in another shape
    first->weight.detach().matmul(biased->weight.t());
    second->weight.matmul(second->weight.t());  // a penalty
    second->weight.slice(0, 2, 5).matmul(second->weight.t());
    biased->weight.matmul(biased->weight.t());
    torch::conv2d(conv->weight, conv->weight, {}, 1, 2);  // a penalty of a convolution
    CHECK(events.count() == 0);
    for (nn::Linear layer : {first, second, biased}) layer->to(torch::kDouble);
    conv->to(torch::kDouble);
    // The forward by which they are found where they are now.
    first(torch::randn({1, 6}, torch::kDouble));
    second(torch::randn({1, 6}, torch::kDouble));
    biased(torch::randn({1, 6}, torch::kDouble));
    conv(torch::randn({1, 3, 4, 4}, torch::kDouble));
    CHECK(events.count() == 4);
    if (moves == 0) events.clear();
  }
}

TEST_CASE("Parameters that are no weights are data, wherever they lie", "[hook]") {
  torch::manual_seed(8);
  nn::Linear linear(nn::LinearOptions(6, 6).bias(false));
  nn::Linear biased(6, 6);
  nn::Embedding embedding(10, 6);
  nn::Embedding watched_embedding(10, 6);
  torch::Tensor query = torch::randn({6, 6}).requires_grad_();
  std::vector<torch::Tensor> parameters = {query,          embedding->weight,
                                           linear->weight, biased->weight,
                                           biased->bias,   watched_embedding->weight};
  nn::utils::vector_to_parameters(nn::utils::parameters_to_vector(parameters).clone(), parameters);
  REQUIRE(query.storage().is_alias_of(linear->weight.storage()));
  Events events;
  Events lookups;
  const auto a = register_forward_hook(linear, events.hook());
  const auto b = register_forward_hook(biased, events.hook());
  const auto c = register_forward_hook(watched_embedding, lookups.hook());
  for (nn::Linear layer : {linear, biased}) {
    events.clear();
    for (const torch::Tensor& data :
         {query, query.unsqueeze(0).expand({2, 6, 6}), query.slice(0, 2, 4), embedding->weight,
          watched_embedding->weight, watched_embedding->weight.slice(0, 1, 4)}) {
      const torch::Tensor output = layer(data);
      const auto last = static_cast<std::size_t>(events.count()) - 1;
      CHECK(torch::equal(events[last].output, output));
    }
    CHECK(events.count() == 6);
  }
  CHECK(lookups.count() == 0);
}

TEST_CASE("A weight through its own layer is data where the layer's bias is added", "[hook]") {
  torch::manual_seed(9);
  nn::Embedding embedding(10, 6);
  nn::Linear head(6, 10);
  nn::Linear plain_head(nn::LinearOptions(6, 10).bias(false));
  head->weight = embedding->weight;
  plain_head->weight = embedding->weight;
  Events events;
  const auto a = register_forward_hook(head, events.hook());
  const torch::Tensor scores = head(embedding->weight);  // of each word for each
  const torch::Tensor groups = head(embedding->weight.view({2, 5, 6}));
  REQUIRE(events.count() == 2);
  CHECK(torch::equal(events[0].output, scores));
  CHECK(torch::equal(events[1].output, groups));
  // Without a bias this is the product of a penalty, and nothing tells them apart.
  Events plain_events;
  const auto b = register_forward_hook(plain_head, plain_events.hook());
  plain_head(embedding->weight);
  CHECK(plain_events.count() == 0);
  CHECK(events.count() == 2);
}

TEST_CASE("A scope that the program names hides no forward", "[hook]") {
  nn::Linear linear(4, 4);
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  {
    RECORD_FUNCTION("block", std::vector<c10::IValue>());
    linear(torch::randn({2, 4}));
    linear(torch::randn({2, 3, 4}));
  }
  CHECK(events.count() == 2);
  const torch::NoGradGuard no_grad;
  linear(torch::randn({2, 4}));
  CHECK(events.count() == 3);
}

TEST_CASE("The mode is the module's own, whatever the grad mode", "[hook][mode]") {
  nn::Linear linear(3, 3);
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  const torch::Tensor input = torch::randn({2, 3});
  linear->eval();
  linear(input);
  linear->train();
  {
    const torch::NoGradGuard no_grad;
    linear(input);
  }
  {
    const c10::InferenceMode inference;
    linear(input);
    linear->eval();
    linear(torch::randn({2, 2, 3}));
  }
  REQUIRE(events.count() == 4);
  CHECK_FALSE(events[0].training);
  CHECK(events[1].training);
  CHECK(events[2].training);
  CHECK_FALSE(events[3].training);
}

TEST_CASE("Under autocast the narrow output is seen", "[hook][autocast]") {
  nn::Sequential net(nn::Linear(8, 8), nn::Conv2d(nn::Conv2dOptions(2, 2, 1)));
  Events events;
  const auto a = register_forward_hook(net->ptr(0), events.hook());
  const auto b = register_forward_hook(net->ptr(1), events.hook());
  const delve_test::Autocast autocast;
  net[0]->as<nn::Linear>()->forward(torch::randn({4, 8}));
  net[0]->as<nn::Linear>()->forward(torch::randn({2, 4, 8}));
  net[1]->as<nn::Conv2d>()->forward(torch::randn({1, 2, 4, 4}));
  REQUIRE(events.count() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(events[i].output.scalar_type() == torch::kBFloat16);
}

TEST_CASE("A module is seen wherever it is moved, and however it is loaded", "[hook][moved]") {
  nn::Linear linear(4, 4);
  nn::LSTM lstm(nn::LSTMOptions(4, 4));
  Events events;
  const auto a = register_forward_hook(linear, events.hook());
  const auto b = register_forward_hook(lstm, events.hook());
  const auto run = [&](torch::ScalarType type) {
    linear(torch::randn({2, 4}, type));
    linear(torch::randn({2, 3, 4}, type));
    lstm(torch::randn({2, 3, 4}, type));
  };
  run(torch::kFloat);
  CHECK(events.count() == 3);
  linear->to(torch::kDouble);
  lstm->to(torch::kDouble);
  run(torch::kDouble);
  CHECK(events.count() == 6);
  std::stringstream saved;
  torch::save(linear, saved);
  torch::load(linear, saved);
  run(torch::kDouble);
  CHECK(events.count() == 9);
  linear->weight = torch::randn({4, 4}, torch::kDouble).requires_grad_();
  run(torch::kDouble);
  CHECK(events.count() == 12);
}

TEST_CASE("Weights that are computed in each forward are found each time", "[hook][moved]") {
  torch::manual_seed(10);
  constexpr std::size_t count = 12;
  std::vector<nn::Linear> layers;
  std::vector<Events> events(count);
  std::vector<delve::RemovableHandle> handles;
  for (std::size_t i = 0; i < count; ++i) layers.emplace_back(nn::LinearOptions(4, 4).bias(i % 2));
  // Those at 2 and 4 share weights without a bias, and cannot be told apart; 1 and 3 can, by
  // theirs.
  for (std::size_t i = 0; i < count; ++i) {
    handles.push_back(register_forward_hook(layers[i], events[i].hook()));
  }
  const std::vector<std::size_t> backwards = {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};
  const std::vector<std::size_t> shuffled = {5, 0, 3, 11, 1, 8, 4, 10, 2, 9, 6, 7};
  std::vector<int> expected(count, 0);
  const auto pass = [&](const std::vector<std::size_t>& order, bool is_shared) {
    for (const std::size_t i : order) {
      layers[i]->weight = torch::randn({4, 4}) * 2;
      if (is_shared && (i == 1 || i == 3))
        layers[3]->weight = layers[1]->weight = layers[i]->weight;
      if (is_shared && (i == 2 || i == 4))
        layers[4]->weight = layers[2]->weight = layers[i]->weight;
      for (const torch::Tensor& data : {torch::randn({3, 4}), torch::randn({2, 3, 4})}) {
        const torch::Tensor output = layers[i](data);
        const std::size_t counted = is_shared && i == 4 ? 2 : i;
        CAPTURE(i, is_shared, data.sizes());
        REQUIRE(events[counted].count() == ++expected[counted]);
        const auto last = static_cast<std::size_t>(expected[counted]) - 1;
        CHECK(torch::equal(events[counted][last].output, output));
      }
    }
  };
  for (int epoch = 0; epoch < 4; ++epoch) {
    pass(backwards, /*is_shared=*/false);
    pass(shuffled, false);
  }
  CHECK_FALSE(handles[2].is_ambiguous());
  // One pass for the table to be made again, and then all must be right.
  layers[3]->weight = layers[1]->weight;
  layers[4]->weight = layers[2]->weight;
  const auto another = register_forward_hook(layers[0], [](const ForwardCall&) {});
  layers[0](torch::randn({3, 4}));
  ++expected[0];
  for (int epoch = 0; epoch < 4; ++epoch) {
    pass(backwards, /*is_shared=*/true);
    pass(shuffled, true);
  }
  CHECK(handles[2].is_ambiguous());
  CHECK(handles[4].is_ambiguous());
  CHECK_FALSE(handles[1].is_ambiguous());
  for (std::size_t i = 0; i < count; ++i) CHECK(events[i].count() == expected[i]);
}

TEST_CASE("A dead module is forgotten, and its memory does not speak for it", "[hook][moved]") {
  Events events;
  auto first = std::make_shared<nn::LinearImpl>(64, 64);
  const auto handle = register_forward_hook(first, events.hook());
  first->forward(torch::randn({2, 64}));
  CHECK(events.count() == 1);
  first.reset();
  for (int i = 0; i < 100; ++i) {  // new weights where the dead ones were
    nn::Linear(64, 64)->forward(torch::randn({2, 64}));
  }
  CHECK(events.count() == 1);
}

TEST_CASE("With the last hook gone LibTorch has no callback", "[hook][handle]") {
  REQUIRE_FALSE(at::hasGlobalCallbacks());
  nn::Linear linear(2, 2);
  Events events;
  {
    auto a = register_forward_hook(linear, events.hook());
    CHECK(at::hasGlobalCallbacks());
    auto b = register_forward_hook(linear, events.hook());
    a.remove();
    a.remove();
    CHECK(at::hasGlobalCallbacks());
    linear(torch::randn({1, 2}));
    CHECK(events.count() == 1);
    delve::RemovableHandle c = std::move(b);
    b = register_forward_hook(linear, events.hook());
    c = std::move(b);  // takes away what it held
    linear(torch::randn({1, 2}));
    CHECK(events.count() == 2);
  }
  CHECK_FALSE(at::hasGlobalCallbacks());
  linear(torch::randn({1, 2}));
  CHECK(events.count() == 2);
}

TEST_CASE("Hooks of a module run in the order of their registration", "[hook][handle]") {
  nn::Conv2d conv(nn::Conv2dOptions(1, 1, 1));
  std::string order;
  std::vector<delve::RemovableHandle> handles;
  for (const char name : {'a', 'b', 'c'}) {
    handles.push_back(register_forward_hook(conv, [&order, name](const auto&) { order += name; }));
  }
  conv(torch::randn({1, 1, 2, 2}));
  CHECK(order == "abc");
}

TEST_CASE("A hook may change the output in place, and run modules itself", "[hook]") {
  nn::Linear linear(3, 3);
  int calls = 0;
  auto handle = register_forward_hook(linear, [&](const ForwardCall& call) {
    ++calls;
    const torch::NoGradGuard no_grad;
    linear(torch::randn({2, 3}));  // not a call of this hook
    call.outputs[0].mul_(2);
  });
  const torch::Tensor input = torch::randn({2, 3});
  const torch::Tensor output = linear(input);
  CHECK(calls == 1);
  handle.remove();
  CHECK(torch::allclose(output, 2 * linear(input)));
}

TEST_CASE("A hook that throws disturbs nothing, and check() reports it", "[hook]") {
  nn::Linear linear(3, 3);
  int calls = 0;
  const auto handle = register_forward_hook(linear, [&](const ForwardCall&) {
    throw std::runtime_error("call " + std::to_string(++calls));
  });
  handle.check();
  Events events;
  const auto next = register_forward_hook(linear, events.hook());
  CHECK(linear(torch::randn({2, 3})).size(0) == 2);
  CHECK(linear(torch::randn({2, 3})).size(0) == 2);
  CHECK(calls == 2);
  CHECK(events.count() == 2);
  CHECK_THROWS_WITH(handle.check(), "call 1");
}

TEST_CASE("A forward that throws is no forward", "[hook]") {
  nn::Linear linear(3, 3);
  Events events;
  const auto handle = register_forward_hook(linear, events.hook());
  CHECK_THROWS(linear(torch::randn({2, 4})));
  CHECK_THROWS(linear(torch::randn({2, 2, 4})));
  CHECK(events.count() == 0);
  linear(torch::randn({2, 3}));
  CHECK(events.count() == 1);
}

namespace {

/// While it lives, counts what LibTorch reports of all scopes or of some.
class Reports {
 public:
  explicit Reports(const std::vector<at::RecordScope>& scopes, bool everywhere = false) {
    at::RecordFunctionCallback callback(
        [](const at::RecordFunction&) -> std::unique_ptr<at::ObserverContext> {
          ++count_;
          return nullptr;
        });
    callback.scopes({scopes.begin(), scopes.end()});
    count_ = 0;
    handle_ = everywhere ? at::addGlobalCallback(callback) : at::addThreadLocalCallback(callback);
  }
  Reports(const Reports&) = delete;
  Reports& operator=(const Reports&) = delete;
  ~Reports() { at::removeCallback(handle_); }

  static int count() { return count_; }

 private:
  inline static int count_ = 0;
  at::CallbackHandle handle_ = 0;
};

/// Copies, and notes on the way back whether LibTorch reports what runs there.
struct Copy : torch::autograd::Function<Copy> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x) {
    return x.clone();
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext*,
                                               torch::autograd::tensor_list gradients) {
    was_enabled() = at::isRecordFunctionEnabled();
    return gradients;
  }
  static bool& was_enabled() {
    static bool value = true;
    return value;
  }
};

}  // namespace

TEST_CASE("Other observers see all operators, those within layers and backward, too",
          "[hook][silence]") {
  torch::manual_seed(31);
  nn::Sequential model(nn::Conv2d(nn::Conv2dOptions(2, 3, 3)), nn::ReLU(), nn::Flatten(),
                       nn::Linear(48, 4));
  const torch::Tensor input = torch::randn({2, 2, 6, 6});
  const auto step = [&] { model->forward(input).sum().backward(); };
  step();
  using Scope = at::RecordScope;
  const auto scopes =
      GENERATE(std::vector<Scope>{Scope::FUNCTION}, std::vector<Scope>{Scope::BACKWARD_FUNCTION},
               std::vector<Scope>{Scope::FUNCTION, Scope::BACKWARD_FUNCTION, Scope::USER_SCOPE});
  const bool everywhere = GENERATE(false, true);
  const auto reported = [&] {
    const Reports reports(scopes, everywhere);
    step();
    return Reports::count();
  };
  CAPTURE(scopes.size(), everywhere);
  const int before = reported();
  REQUIRE(before > 4);
  int calls = 0;
  const auto handle =
      register_forward_hook(model->ptr<nn::LinearImpl>(3), [&](const ForwardCall&) { ++calls; });
  CHECK(reported() == before);
  CHECK(calls == 1);
  step();
  CHECK(calls == 2);
  CHECK(reported() == before);
}

TEST_CASE("LibTorch is silent within layers under trackers alone, and not after them",
          "[hook][silence]") {
  torch::manual_seed(32);
  nn::Linear linear(3, 2);
  const auto is_enabled = [] { return at::isRecordFunctionEnabled(); };
  std::vector<bool> enabled;
  const auto note = [&](const ForwardCall&) { enabled.push_back(is_enabled()); };
  const auto run = [&](std::int64_t inputs = 3) {
    enabled.clear();
    linear->forward(torch::randn({5, inputs}));
    return enabled;
  };
  auto tracker = delve::detail::register_forward_hook_of_kind(
      linear, *delve::layer_kind_of(linear), note, delve::detail::HookCode::Tracker);
  CHECK(run() == std::vector<bool>{false});
  CHECK(is_enabled());
  {
    INFO("somebody else listens");
    const Reports others({at::RecordScope::FUNCTION}, GENERATE(false, true));
    CHECK(run() == std::vector<bool>{true});
  }
  {
    const Reports others({at::RecordScope::USER_SCOPE});  // in this thread: of whatever scope
    CHECK(run() == std::vector<bool>{true});
  }

  INFO("what throws");
  CHECK_THROWS(run(4));
  CHECK(is_enabled());
  auto throws = delve::detail::register_forward_hook_of_kind(
      linear, *delve::layer_kind_of(linear),
      [](const ForwardCall&) { throw std::runtime_error("on purpose"); },
      delve::detail::HookCode::Tracker);
  CHECK(run() == std::vector<bool>{false});
  CHECK(is_enabled());
  throws.remove();

  INFO("a hook of the program's, which may want to see what it runs, or to hide it");
  auto program = register_forward_hook(linear, note);
  CHECK(run() == std::vector<bool>{true, true});
  std::optional<at::RecordFunctionGuard> hidden;
  auto hides = register_forward_hook(linear, [&](const ForwardCall&) { hidden.emplace(false); });
  CHECK(run() == std::vector<bool>{true, true});
  CHECK_FALSE(is_enabled());
  hidden.reset();
  CHECK(is_enabled());
  program.remove();
  hides.remove();

  INFO("a step of backward that the program wrote");
  Copy::was_enabled() = false;
  Copy::apply(torch::randn({3}, torch::requires_grad())).sum().backward();
  CHECK(Copy::was_enabled());
  linear->forward(torch::randn({5, 3})).sum().backward();
  CHECK(is_enabled());

  INFO("the last hook goes within a forward");
  tracker.remove();
  std::optional<delve::RemovableHandle> last;
  nn::Linear other(3, 2);
  last = register_forward_hook(other, [&](const ForwardCall&) { last->remove(); });
  other->forward(torch::randn({5, 3}));
  CHECK(is_enabled());
  CHECK_FALSE(at::hasGlobalCallbacks());
}

TEST_CASE("Modules that share a weight are told apart where they can be", "[hook][tied]") {
  Events first_events;
  Events second_events;
  const torch::Tensor input = torch::randn({2, 4});
  SECTION("by their bias") {
    nn::Linear first(4, 4);
    nn::Linear second(4, 4);
    second->weight = first->weight;
    const auto a = register_forward_hook(first, first_events.hook());
    const auto b = register_forward_hook(second, second_events.hook());
    second(input);
    second(torch::randn({2, 3, 4}));
    CHECK(first_events.count() == 0);
    CHECK(second_events.count() == 2);
    CHECK_FALSE(a.is_ambiguous());
    CHECK_FALSE(b.is_ambiguous());
  }
  SECTION("by their bias in one storage") {
    nn::Linear first(4, 4);
    nn::Linear second(4, 4);
    second->weight = first->weight;
    const torch::Tensor buffer = torch::randn({24});  // the weight, and the two biases
    first->weight.set_data(buffer.slice(0, 0, 16).view({4, 4}));
    first->bias.set_data(buffer.slice(0, 16, 20));
    second->bias.set_data(buffer.slice(0, 20, 24));
    const auto a = register_forward_hook(first, first_events.hook());
    const auto b = register_forward_hook(second, second_events.hook());
    for (const torch::Tensor& data : {input, torch::randn({4}), torch::randn({2, 3, 4})}) {
      CAPTURE(data.sizes());
      first_events.clear();
      second_events.clear();
      const torch::Tensor first_output = first(data);
      const torch::Tensor second_output = second(data);
      const torch::Tensor scripted = torch::linear(data, second->weight, second->bias);
      REQUIRE(first_events.count() == 1);
      REQUIRE(second_events.count() == 2);
      CHECK(torch::equal(first_events[0].output, first_output));
      CHECK(torch::equal(second_events[0].output, second_output));
      CHECK(torch::equal(second_events[1].output, scripted));
    }
    CHECK_FALSE(a.is_ambiguous());
    CHECK_FALSE(b.is_ambiguous());
  }
  SECTION("by having one or not, whichever is registered first") {
    nn::Linear with_bias(4, 4);
    nn::Linear without(nn::LinearOptions(4, 4).bias(false));
    without->weight = with_bias->weight;
    const bool with_bias_first = GENERATE(true, false);
    std::vector<delve::RemovableHandle> handles;
    for (const bool biased : {with_bias_first, !with_bias_first}) {
      handles.push_back(register_forward_hook(biased ? with_bias : without,
                                              biased ? first_events.hook() : second_events.hook()));
    }
    const torch::Tensor series = torch::randn({2, 3, 4});
    const torch::Tensor biased_output = with_bias(series);
    const torch::Tensor output = without(series);
    const torch::Tensor expected = output.clone();
    output.relu_();
    CHECK(first_events.count() == 1);
    REQUIRE(second_events.count() == 1);
    CHECK(torch::equal(first_events[0].output, biased_output));
    CHECK(torch::equal(second_events[0].output, expected));
    for (const auto& handle : handles) CHECK_FALSE(handle.is_ambiguous());
  }
  SECTION("else the first one counts, and both say so") {
    nn::Linear first(nn::LinearOptions(4, 4).bias(false));
    nn::Linear second(nn::LinearOptions(4, 4).bias(false));
    second->weight = first->weight;
    const auto a = register_forward_hook(first, first_events.hook());
    const auto b = register_forward_hook(second, second_events.hook());
    second(input);
    CHECK(first_events.count() == 1);
    CHECK(second_events.count() == 0);
    CHECK(a.is_ambiguous());
    CHECK(b.is_ambiguous());
  }
}

TEST_CASE("What cannot be hooked is refused with what can", "[hook][misuse]") {
  const auto hook = [](const ForwardCall&) {};
  CHECK_THROWS_WITH(register_forward_hook(nn::ReLU(), hook),
                    "delve::register_forward_hook: a torch::nn::ReLUImpl cannot be hooked; these "
                    "can: " +
                        delve::layer_kind_names());
  CHECK_THROWS_AS(register_forward_hook(nn::Linear(nullptr), hook), std::invalid_argument);
  CHECK_THROWS_AS(register_forward_hook(std::shared_ptr<nn::LinearImpl>(), hook),
                  std::invalid_argument);
  CHECK_THROWS_AS(register_forward_hook(nn::Linear(1, 1), delve::ForwardHook()),
                  std::invalid_argument);
  CHECK_FALSE(at::hasGlobalCallbacks());
}

}  // namespace test_forward_hook
