// SPDX-License-Identifier: MIT
#include <delve/pca.hpp>

#include <cmath>
#include <filesystem>
#include <iostream>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>

#include "autocast.hpp"
#include "catch.hpp"
#include "data.hpp"
#include "npy.hpp"

namespace test_pca {

using delve::Conv2dPCA;
using delve::Conv2dPCAOptions;
using delve::LinearPCA;
using delve::LinearPCAOptions;

namespace {

const std::filesystem::path kReference = delve_test::data("reference");

/// Correlated rows whose variances fall from 1 to 10⁻⁴, about a mean.
torch::Tensor random_rows(std::int64_t count, std::int64_t width, double mean = 0) {
  const torch::Tensor mixing =
      std::get<0>(torch::linalg_qr(torch::randn({width, width}, torch::kDouble)));
  const torch::Tensor spread = torch::logspace(0, -2, width, 10, torch::kDouble);
  return (torch::randn({count, width}, torch::kDouble) * spread).mm(mixing) + mean;
}

/// What projecting means, by the singular value decomposition of all training rows.
struct BySvd {
  BySvd(const torch::Tensor& rows, bool centering, double threshold)
      : mean(centering ? rows.mean(0) : torch::zeros({rows.size(1)}, torch::kDouble)) {
    const auto [u, singular, vh] = torch::linalg_svd(rows - mean, /*full_matrices=*/false);
    const torch::Tensor share = singular.square().cumsum(0) / singular.square().sum();
    directions = vh.narrow(0, 0, share.lt(threshold).sum().item<std::int64_t>() + 1).t();
  }
  [[nodiscard]] std::int64_t kept() const { return directions.size(1); }
  [[nodiscard]] torch::Tensor operator()(const torch::Tensor& rows) const {
    return (rows - mean).mm(directions).mm(directions.t()) + mean;
  }

  torch::Tensor mean;
  torch::Tensor directions;
};

double largest_error(const torch::Tensor& found, const torch::Tensor& expected) {
  REQUIRE(found.sizes() == expected.sizes());
  return (found - expected).abs().max().item<double>();
}

/// Trains a layer on batches, and leaves it in evaluation mode.
template <typename Layer>
Layer trained(Layer layer, const std::vector<torch::Tensor>& batches) {
  layer->train();
  for (const torch::Tensor& batch : batches) layer->forward(batch);
  layer->eval();
  return layer;
}

/// A model with a layer one level down.
struct Nested : torch::nn::Module {
  torch::Tensor forward(const torch::Tensor& x) { return pca(x.relu()); }
  LinearPCA pca = register_module("pca", LinearPCA(8));
};

template <typename Module>
std::string saved(const Module& module) {
  std::ostringstream file;
  torch::save(module, file);
  return file.str();
}

template <typename Module>
void load(Module& module, const std::string& bytes) {
  std::istringstream file(bytes);
  torch::load(module, file);
}

}  // namespace

TEST_CASE("The projections are those that NumPy found", "[pca]") {
  struct Case {
    bool centering;
    const char* threshold;
    std::int64_t linear_kept;
    std::int64_t conv_kept;
  };
  const auto check = [](auto layer, const std::string& name, const Case& expected,
                        std::int64_t kept) {
    CAPTURE(name, expected.centering, expected.threshold);
    std::vector<torch::Tensor> batches;
    for (const char* batch : {"train.0.npy", "train.1.npy", "train.2.npy"}) {
      batches.push_back(delve_test::read_npy(kReference / name / batch));
      CHECK(layer->forward(batches.back()).is_same(batches.back()));
    }
    layer->eval();
    const torch::Tensor probe = delve_test::read_npy(kReference / name / "probe.npy");
    const torch::Tensor output =
        delve_test::read_npy(kReference / name /
                             (std::string("output.") + (expected.centering ? "" : "un") +
                              "centred." + expected.threshold + ".npy"));
    CHECK(largest_error(layer->forward(probe.to(torch::kDouble)), output) < 1e-12);
    CHECK(largest_error(layer->forward(probe), output) < 1e-5);
    CHECK(layer->forward(probe).scalar_type() == torch::kFloat);
    CHECK(layer->forward(probe).is_contiguous());
    CHECK(layer->dimensions_kept() == kept);
    CHECK(layer->saturation() == static_cast<double>(kept) / static_cast<double>(probe.size(1)));
  };
  for (const Case& expected : {Case{true, "0.99", 13, 8}, Case{true, "0.80", 5, 7},
                               Case{false, "0.99", 13, 8}, Case{false, "0.80", 5, 6}}) {
    const double threshold = std::stod(expected.threshold);
    check(LinearPCA(LinearPCAOptions(16).threshold(threshold).centering(expected.centering)),
          "pca_linear", expected, expected.linear_kept);
    check(Conv2dPCA(Conv2dPCAOptions(8).threshold(threshold).centering(expected.centering)),
          "pca_conv2d", expected, expected.conv_kept);
  }
}

TEST_CASE("Any split into batches gives what a singular value decomposition gives", "[pca]") {
  torch::manual_seed(1);
  for (const double mean : {0.0, 3.0, 1e6}) {
    const torch::Tensor rows = random_rows(600, 24, mean);
    const torch::Tensor probe = random_rows(50, 24, mean);
    for (const bool centering : {true, false}) {
      for (const double threshold : {0.5, 0.9, 0.999}) {
        const BySvd expected(rows, centering, threshold);
        for (const std::int64_t size : {1, 7, 100, 600}) {
          CAPTURE(mean, centering, threshold, size);
          LinearPCA layer =
              trained(LinearPCA(LinearPCAOptions(24).threshold(threshold).centering(centering)),
                      rows.split(size));
          // 1e6 has 1e-10 in its last place.
          CHECK(largest_error(layer->forward(probe), expected(probe)) < (mean > 10 ? 1e-7 : 1e-11));
          CHECK(layer->dimensions_kept() == expected.kept());
          CHECK(layer->samples() == 600);
        }
      }
    }
  }
}

TEST_CASE("A tracker's dimensionality of the same data is what is kept", "[pca]") {
  torch::manual_seed(2);
  for (const double threshold : {0.2, 0.9, 0.99, 0.9999}) {
    const torch::Tensor rows = random_rows(300, 30, 5).to(torch::kFloat);
    delve::Covariance<double> covariance;
    covariance.update(rows);
    const delve::Spectrum spectrum(*delve::symmetric_eigenvalues(covariance.matrix()), 30);
    LinearPCA layer = trained(LinearPCA(LinearPCAOptions(30).threshold(threshold)), {rows});
    CHECK(layer->dimensions_kept() == spectrum.dimensionality(threshold));
  }
}

TEST_CASE("Equal variances, where Delve's layer and tracker disagree, keep what the threshold asks",
          "[pca]") {
  const torch::Tensor rows = torch::tensor({{1., 0.}, {-1., 0.}, {0., 1.}, {0., -1.}});
  CHECK(trained(LinearPCA(LinearPCAOptions(2).threshold(0.5)), {rows})->dimensions_kept() == 1);
  CHECK(trained(LinearPCA(LinearPCAOptions(2).threshold(0.6)), {rows})->dimensions_kept() == 2);
}

TEST_CASE("A threshold of 1 leaves data of full rank as it is", "[pca]") {
  torch::manual_seed(3);
  const torch::Tensor rows = random_rows(100, 12, 2);
  const torch::Tensor probe = torch::randn({5, 3, 12}, torch::kDouble);
  for (const bool centering : {true, false}) {
    LinearPCA layer =
        trained(LinearPCA(LinearPCAOptions(12).threshold(1).centering(centering)), {rows});
    CHECK(layer->dimensions_kept() == 12);
    CHECK(largest_error(layer->forward(probe), probe) < 1e-13);
  }
}

TEST_CASE("Without keepdim, coordinates come out, which keep distances", "[pca]") {
  torch::manual_seed(4);
  const torch::Tensor rows = random_rows(200, 10, 3);
  const torch::Tensor probe = random_rows(6, 10, 3).view({2, 3, 10});
  for (const bool centering : {true, false}) {
    const auto options = LinearPCAOptions(10).threshold(0.95).centering(centering);
    LinearPCA full = trained(LinearPCA(options), {rows});
    LinearPCA reduced = trained(LinearPCA(LinearPCAOptions(options).keepdim(false)), {rows});
    const std::int64_t kept = reduced->dimensions_kept();
    const torch::Tensor y = reduced->forward(probe);
    CHECK(y.sizes() == torch::IntArrayRef{2, 3, kept});
    CHECK(kept < 10);
    const torch::Tensor mean = centering ? rows.mean(0) : torch::zeros({10}, torch::kDouble);
    CHECK(largest_error(y.norm(2, -1), (full->forward(probe) - mean).norm(2, -1)) < 1e-12);
    // Each coordinate is that along its own direction, the leading one first.
    const torch::Tensor of_training = reduced->forward(rows);
    const torch::Tensor products = of_training.t().mm(of_training);
    CHECK(largest_error(products, products.diag().diag()) < 1e-10);
    CHECK(products.diag().diff().le(0).all().item<bool>());
  }
  const torch::Tensor pictures = torch::randn({4, 10, 3, 5}, torch::kDouble) + 1;
  Conv2dPCA conv =
      trained(Conv2dPCA(Conv2dPCAOptions(10).threshold(0.5).keepdim(false)), {pictures});
  CHECK(conv->forward(pictures).sizes() == torch::IntArrayRef{4, conv->dimensions_kept(), 3, 5});
}

TEST_CASE("Every position of a picture is projected as a row, in any layout", "[pca]") {
  torch::manual_seed(5);
  const torch::Tensor rows = random_rows(6 * 4 * 5, 7, 1);
  const auto pictures = [](const torch::Tensor& flat) {
    return flat.view({6, 4, 5, 7}).permute({0, 3, 1, 2});
  };
  for (const bool centering : {true, false}) {
    LinearPCA linear =
        trained(LinearPCA(LinearPCAOptions(7).threshold(0.8).centering(centering)), {rows});
    const auto options = Conv2dPCAOptions(7).threshold(0.8).centering(centering);
    const torch::Tensor expected = pictures(linear->forward(rows));
    for (const torch::Tensor& x : {pictures(rows), pictures(rows).contiguous()}) {
      Conv2dPCA conv = trained(Conv2dPCA(options), {x});
      const torch::Tensor y = conv->forward(x);
      CHECK(largest_error(y, expected) < 1e-12);
      CHECK(y.strides() == x.strides());
      CHECK(largest_error(conv->forward(x[2]), expected[2]) < 1e-12);
    }
  }
}

TEST_CASE("Downsampling sums every other position, passes all, and never enlarges", "[pca]") {
  torch::manual_seed(6);
  const torch::Tensor x = torch::randn({3, 4, 8, 12}, torch::kDouble);
  const auto options = Conv2dPCAOptions(4).threshold(0.5).centering(true);
  Conv2dPCA layer(Conv2dPCAOptions(options).downsampling(4));
  CHECK(layer->forward(x).is_same(x));
  CHECK(layer->samples() == 3 * 4 * 4);
  const torch::Tensor every_other = x.slice(2, 0, 8, 2).slice(3, 0, 12, 3);
  Conv2dPCA expected = trained(Conv2dPCA(options), {every_other});
  layer->eval();
  CHECK(largest_error(layer->forward(x), expected->forward(x)) < 1e-12);

  // Only what is larger is brought down: here the width.
  Conv2dPCA wide(Conv2dPCAOptions(options).downsampling(10));
  wide->forward(x);
  CHECK(wide->samples() == 3 * 8 * 10);
  wide->forward(x.slice(3, 0, 9)[0]);
  CHECK(wide->samples() == 3 * 8 * 10 + 8 * 9);
}

TEST_CASE("Threshold and centring can be changed for one layer and for all, without new data",
          "[pca]") {
  torch::manual_seed(7);
  const torch::Tensor rows = random_rows(100, 8, 1);
  const torch::Tensor probe = random_rows(10, 8, 1);
  LinearPCA layer = trained(LinearPCA(8), {rows});
  for (const bool centering : {true, false, true}) {
    for (const double threshold : {0.9, 0.3, 0.99}) {
      layer->set_threshold(threshold);
      layer->set_centering(centering);
      const BySvd expected(rows, centering, threshold);
      CHECK(layer->dimensions_kept() == expected.kept());
      CHECK(largest_error(layer->forward(probe), expected(probe)) < 1e-12);
    }
  }

  torch::nn::Sequential model(LinearPCA(8), std::make_shared<Nested>());
  model->forward(rows);
  model->eval();
  delve::set_pca_threshold(*model, 0.4);
  delve::set_pca_centering(*model, false);
  const BySvd first(rows, false, 0.4);
  const BySvd second(rows.relu(), false, 0.4);
  CHECK(largest_error(model->forward(probe), second(first(probe).relu())) < 1e-12);

  const std::vector<delve::PcaSummary> summaries = delve::pca_summaries(*model);
  REQUIRE(summaries.size() == 2);
  CHECK(summaries[0].layer == "0");
  CHECK(summaries[1].layer == "1-pca");
  CHECK(summaries[0].dimensions_in == 8);
  CHECK(summaries[0].dimensions_kept == first.kept());
  CHECK(summaries[1].dimensions_kept == second.kept());
  CHECK(summaries[1].saturation == static_cast<double>(second.kept()) / 8);
  CHECK(delve::pca_summaries(*layer)[0].layer == "LinearPCA");
  Nested on_the_stack;
  CHECK(delve::pca_summaries(on_the_stack)[0].layer == "pca");
}

TEST_CASE("Random directions are as many, orthonormal, and explain less", "[pca]") {
  torch::manual_seed(8);
  const torch::Tensor rows = random_rows(500, 40, 2);
  const torch::Tensor centred = rows - rows.mean(0);
  torch::nn::Sequential model(LinearPCA(LinearPCAOptions(40).threshold(0.9)));
  model->forward(rows);
  model->eval();
  const auto explained = [&] {
    const torch::Tensor kept = model->forward(rows) - rows.mean(0);
    // An orthogonal projection, applied twice, changes nothing more, and leaves a remainder at
    // right angles.
    CHECK(largest_error(model->forward(model->forward(rows)), model->forward(rows)) < 1e-12);
    CHECK(std::abs((kept * (centred - kept)).sum().item<double>()) < 1e-9);
    return (kept.square().sum() / centred.square().sum()).item<double>();
  };
  const double leading = explained();
  const std::int64_t kept = delve::pca_summaries(*model)[0].dimensions_kept;
  CHECK(leading >= 0.9);

  delve::set_pca_random_directions(*model, true, 1);
  const torch::Tensor first = model->forward(rows);
  CHECK(delve::pca_summaries(*model)[0].dimensions_kept == kept);
  CHECK(torch::linalg_matrix_rank(first - rows.mean(0), 1e-9).item<std::int64_t>() == kept);
  // Of any k directions, k / d of the variance is what to expect.
  CHECK(std::abs(explained() - static_cast<double>(kept) / 40) < 0.2);
  CHECK(explained() < leading);
  delve::set_pca_random_directions(*model, true, 2);
  CHECK_FALSE(torch::allclose(model->forward(rows), first));
  delve::set_pca_random_directions(*model, true, 1);
  CHECK(torch::equal(model->forward(rows), first));
  delve::set_pca_random_directions(*model, false);
  CHECK(explained() == Approx(leading));
}

TEST_CASE("In a Sequential, training is as without the layers", "[pca]") {
  torch::manual_seed(9);
  const auto layers = [] {
    return torch::nn::Sequential(torch::nn::Linear(6, 12), LinearPCA(12), torch::nn::ReLU(),
                                 torch::nn::Linear(12, 3), LinearPCA(3));
  };
  torch::nn::Sequential model = layers();
  torch::nn::Sequential plain(torch::nn::Linear(6, 12), torch::nn::ReLU(),
                              torch::nn::Linear(12, 3));
  const torch::NoGradGuard no_grad;
  for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
    plain->parameters()[i].copy_(model->parameters()[i]);
  }
  torch::optim::SGD optimizer(model->parameters(), 0.1);
  torch::optim::SGD plain_optimizer(plain->parameters(), 0.1);
  const torch::AutoGradMode grad(true);
  for (int step = 0; step < 20; ++step) {
    const torch::Tensor x = torch::randn({16, 6});
    const torch::Tensor target = torch::randint(0, 3, {16}, torch::kLong);
    for (auto [net, optim] : {std::pair{&model, &optimizer}, std::pair{&plain, &plain_optimizer}}) {
      optim->zero_grad();
      torch::cross_entropy_loss((*net)->forward(x), target).backward();
      optim->step();
    }
  }
  for (std::size_t i = 0; i < plain->parameters().size(); ++i) {
    CHECK(torch::equal(plain->parameters()[i], model->parameters()[i]));
  }
  for (const auto& buffer : model->named_buffers()) CHECK_FALSE(buffer.value().requires_grad());
  model->eval();
  // Three classes: centred data of full rank is not changed at a threshold of 1.
  delve::set_pca_threshold(*model, 1);
  plain->eval();
  const torch::Tensor x = torch::randn({16, 6});
  CHECK(torch::allclose(model->forward(x), plain->forward(x), 1e-4, 1e-5));
}

TEST_CASE("A model saved and loaded projects as before", "[pca]") {
  torch::manual_seed(10);
  const auto make = [] {
    return torch::nn::Sequential(torch::nn::Conv2d(3, 6, 3), Conv2dPCA(6), torch::nn::Flatten(),
                                 torch::nn::Linear(96, 8),
                                 LinearPCA(LinearPCAOptions(8).threshold(0.7)));
  };
  torch::nn::Sequential model = make();
  const torch::Tensor probe = torch::randn({5, 3, 6, 6});
  model->forward(torch::randn({40, 3, 6, 6}));
  const std::string before_evaluation = saved(model);
  model->eval();
  const torch::Tensor expected = model->forward(probe);
  for (const std::string& bytes : {before_evaluation, saved(model)}) {
    torch::nn::Sequential loaded = make();
    load(loaded, bytes);
    loaded->eval();
    CHECK(torch::equal(loaded->forward(probe), expected));

    // One that has projected before, onto something else.
    torch::nn::Sequential used = make();
    used->forward(torch::randn({40, 3, 6, 6}) * 3);
    used->eval();
    CHECK_FALSE(torch::allclose(used->forward(probe), expected));
    load(used, bytes);
    CHECK(torch::equal(used->forward(probe), expected));

    // By hand, as long as LibTorch has no load_state_dict.
    torch::nn::Sequential copied = make();
    copied->forward(torch::randn({40, 3, 6, 6}) * 3);
    copied->eval();
    copied->forward(probe);
    const torch::NoGradGuard no_grad;
    for (auto& item : copied->named_parameters()) {
      item.value().copy_(loaded->named_parameters()[item.key()]);
    }
    for (auto& item : copied->named_buffers()) {
      item.value().copy_(loaded->named_buffers()[item.key()]);
    }
    CHECK(torch::equal(copied->forward(probe), expected));

    const c10::InferenceMode inference;
    torch::nn::Sequential deployed = make();
    load(deployed, bytes);
    deployed->eval();
    CHECK(torch::equal(deployed->forward(probe), expected));
  }
}

TEST_CASE("A clone starts with the same sums, and then has its own", "[pca]") {
  torch::manual_seed(11);
  const torch::Tensor rows = random_rows(50, 6, 1);
  const torch::Tensor more = random_rows(50, 6, -4);
  const torch::Tensor probe = random_rows(5, 6);
  const auto options = LinearPCAOptions(6).threshold(0.6);
  torch::nn::Sequential model{LinearPCA(options)};
  model->forward(rows);
  model->eval();
  const torch::Tensor expected = model->forward(probe);
  const auto clone = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(model->clone());
  CHECK(torch::equal(clone->forward(probe), expected));

  // As many batches as the original saw: its solution must not be taken for the clone's.
  const auto trained_clone = std::dynamic_pointer_cast<torch::nn::SequentialImpl>(model->clone());
  trained_clone->train();
  trained_clone->forward(more);
  trained_clone->eval();
  const torch::Tensor of_clone = BySvd(more, true, 0.6)(probe);
  CHECK(largest_error(trained_clone->forward(probe), of_clone) < 1e-12);
  delve::set_pca_threshold(*trained_clone, 0.1);
  CHECK(torch::equal(model->forward(probe), expected));
  CHECK(model->named_buffers()["0.samples"].item<double>() == 50);
}

TEST_CASE("Sums stay in float64 where a model changes its type", "[pca]") {
  torch::manual_seed(12);
  const torch::Tensor rows = random_rows(64, 5, 1000);
  const BySvd expected(rows, true, 0.8);
  torch::nn::Sequential model{LinearPCA(LinearPCAOptions(5).threshold(0.8))};
  for (const torch::Dtype type : {torch::kFloat, torch::kDouble, torch::kHalf}) {
    model->to(type);
    model->to(torch::kCPU, type);
    model->train();
    model->forward(rows);
    model->eval();
    CHECK(model->named_buffers()["0.moments"].scalar_type() == torch::kDouble);
    CHECK(largest_error(model->forward(rows), expected(rows)) < 1e-10);
  }
  // Inputs of the type that the model was moved to.
  const torch::Tensor narrow = (rows - 1000).to(torch::kBFloat16);
  model->train();
  model->forward(narrow);
  model->eval();
  CHECK(model->forward(narrow).scalar_type() == torch::kBFloat16);
  const BySvd of_narrow(narrow.to(torch::kDouble), true, 0.8);
  const torch::Tensor exact = of_narrow(narrow.to(torch::kDouble));
  CHECK(largest_error(model->forward(narrow).to(torch::kDouble), exact) < 0.05);
}

TEST_CASE("A batch that is not finite is left out whole", "[pca]") {
  torch::manual_seed(13);
  const torch::Tensor rows = random_rows(60, 5, 2);
  const torch::Tensor probe = random_rows(5, 5);
  const torch::Tensor expected = BySvd(rows, true, 0.9)(probe);
  for (const double value :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(), 1e200}) {
    CAPTURE(value);
    torch::Tensor bad = random_rows(20, 5);
    bad[7][3] = value;
    LinearPCA layer = trained(LinearPCA(LinearPCAOptions(5).threshold(0.9)),
                              {bad, rows.slice(0, 0, 25), bad, bad, rows.slice(0, 25)});
    CHECK(layer->samples() == 60);
    CHECK(largest_error(layer->forward(probe), expected) < 1e-12);
    // An epoch of nothing else leaves what was there.
    trained(layer, {bad, bad});
    CHECK(largest_error(layer->forward(probe), expected) < 1e-12);
    trained(layer, {bad, rows.slice(0, 0, 25)});
    CHECK(layer->samples() == 25);
  }
}

TEST_CASE("The first training after an evaluation starts new sums", "[pca]") {
  torch::manual_seed(14);
  const torch::Tensor first = random_rows(40, 6, 5);
  const torch::Tensor second = random_rows(30, 6, -5);
  const torch::Tensor probe = random_rows(10, 6);
  const auto options = LinearPCAOptions(6).threshold(0.7);
  LinearPCA layer = trained(LinearPCA(options), {first});
  // Looking is no evaluation.
  layer->dimensions_kept();
  trained(layer, {first});
  CHECK(layer->samples() == 80);
  layer->forward(probe);
  layer->forward(probe);
  trained(layer, {second.slice(0, 0, 10), second.slice(0, 10)});
  CHECK(layer->samples() == 30);
  CHECK(largest_error(layer->forward(probe), BySvd(second, true, 0.7)(probe)) < 1e-12);
  CHECK(layer->named_buffers()["epochs"].item<std::int64_t>() == 2);

  // So does a loaded model that was saved after an evaluation.
  LinearPCA loaded(options);
  load(loaded, saved(layer));
  trained(loaded, {first});
  CHECK(loaded->samples() == 40);
}

TEST_CASE("From gradient_epoch_start on, gradients are projected and data is not", "[pca]") {
  torch::manual_seed(15);
  const torch::Tensor rows = random_rows(80, 6, 3);
  const torch::Tensor weights = torch::randn({80, 6}, torch::kDouble);
  const torch::Tensor directions = BySvd(rows, true, 0.8).directions;
  const torch::Tensor projected = weights.mm(directions).mm(directions.t());
  const auto gradient_of = [&](auto& layer) {
    torch::Tensor x = rows.clone().requires_grad_();
    layer->train();
    torch::Tensor y = layer->forward(x * 1);
    CHECK(torch::equal(y, rows));
    (y.mul_(2) * weights).sum().backward();  // in place, as a ReLU may be
    return x.grad() / 2;
  };
  LinearPCA layer(LinearPCAOptions(6).threshold(0.8).gradient_epoch_start(2));
  CHECK(torch::equal(gradient_of(layer), weights));
  for (const bool is_projected : {false, true, true}) {
    layer->eval();
    layer->forward(rows);
    CHECK(largest_error(gradient_of(layer), is_projected ? projected : weights) < 1e-12);
    CHECK(largest_error(gradient_of(layer), is_projected ? projected : weights) < 1e-12);
  }
  // What was loaded knows no evaluation of its own yet.
  load(layer, saved(LinearPCA(6)));
  CHECK(torch::equal(gradient_of(layer), weights));

  // What is evaluated has the gradient of a projection, in any epoch.
  torch::Tensor x = rows.clone().requires_grad_();
  layer->eval();
  (layer->forward(x) * weights).sum().backward();
  CHECK(largest_error(x.grad(), projected) < 1e-12);

  LinearPCA never(LinearPCAOptions(6).threshold(0.8).gradient_epoch_start(std::nullopt));
  Conv2dPCA pictures(Conv2dPCAOptions(6).threshold(0.8).centering(true).gradient_epoch_start(1));
  for (int epoch = 0; epoch < 3; ++epoch) {
    CHECK(torch::equal(gradient_of(never), weights));
    never->eval();
    never->forward(rows);
  }
  const auto as_picture = [](const torch::Tensor& flat) {
    return flat.view({4, 4, 5, 6}).permute({0, 3, 1, 2}).contiguous();
  };
  trained(pictures, {as_picture(rows)})->forward(as_picture(rows));
  pictures->train();
  torch::Tensor picture = as_picture(rows).requires_grad_();
  (pictures->forward(picture) * as_picture(weights)).sum().backward();
  CHECK(largest_error(picture.grad(), as_picture(projected)) < 1e-12);
}

TEST_CASE("Evaluation before any training data says what is missing", "[pca]") {
  LinearPCA linear(4);
  Conv2dPCA conv(3);
  linear->eval();
  conv->eval();
  CHECK_THROWS_WITH(
      linear->forward(torch::randn({2, 4})),
      "delve::LinearPCA: there is no subspace to project onto, since no training data "
      "has passed: call train() and forward with finite data before eval()");
  CHECK_THROWS_AS(conv->forward(torch::randn({2, 3, 4, 4})), std::logic_error);
  CHECK_THROWS_AS(linear->dimensions_kept(), std::logic_error);
  CHECK_THROWS_AS(linear->saturation(), std::logic_error);
  linear->train();
  linear->forward(torch::empty({0, 4}));
  linear->forward(torch::full({2, 4}, NAN));
  CHECK(delve::pca_summaries(*linear)[0].dimensions_kept == 0);
  CHECK(std::isnan(delve::pca_summaries(*linear)[0].saturation));
  linear->eval();
  CHECK_THROWS_AS(linear->forward(torch::randn({2, 4})), std::logic_error);
}

TEST_CASE("Data that never varies is kept by its mean alone", "[pca]") {
  // Of so many, the mean by a plain sum is not 0.1 to the last bit.
  const torch::Tensor rows = torch::full({1000, 3}, 0.1, torch::kDouble);
  LinearPCA layer = trained(LinearPCA(3), {rows, rows.slice(0, 0, 9)});
  CHECK(layer->dimensions_kept() == 0);
  CHECK(torch::equal(layer->forward(torch::randn({1000, 3}, torch::kDouble)), rows));
  layer->options.keepdim(false);
  CHECK(layer->forward(torch::randn({5, 3})).sizes() == torch::IntArrayRef{5, 0});
}

TEST_CASE("Options and inputs that make no sense are refused by name", "[pca]") {
  for (const double threshold : {0.0, -1.0, 1.01, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(LinearPCA(LinearPCAOptions(3).threshold(threshold)), std::invalid_argument);
    LinearPCA layer(3);
    CHECK_THROWS_AS(layer->set_threshold(threshold), std::invalid_argument);
    CHECK_THROWS_AS(delve::set_pca_threshold(*layer, threshold), std::invalid_argument);
    CHECK(layer->options.threshold() == 0.99);
  }
  CHECK_THROWS_WITH(LinearPCA(LinearPCAOptions(3).threshold(2)),
                    "delve::LinearPCA: threshold is 2; it must be above 0 and at most 1");
  CHECK_THROWS_WITH(LinearPCA(0), "delve::LinearPCA: in_features is 0; it must be at least 1");
  CHECK_THROWS_WITH(Conv2dPCA(-1), "delve::Conv2dPCA: in_filters is -1; it must be at least 1");
  CHECK_THROWS_WITH(Conv2dPCA(Conv2dPCAOptions(3).downsampling(0)),
                    "delve::Conv2dPCA: downsampling is 0; it must be at least 1");
  CHECK_THROWS_WITH(LinearPCA(LinearPCAOptions(3).gradient_epoch_start(-1)),
                    "delve::LinearPCA: gradient_epoch_start is -1; it must be at least 0");
  CHECK_THROWS_WITH(LinearPCA(3)->forward(torch::randn({2, 4})),
                    "delve::LinearPCA: the input must be (..., 3), of a floating type; it is "
                    "(2, 4), of type Float");
  CHECK_THROWS_AS(LinearPCA(3)->forward(torch::ones({2, 3}, torch::kLong)), std::invalid_argument);
  CHECK_THROWS_AS(Conv2dPCA(3)->forward(torch::randn({3, 3})), std::invalid_argument);
}

TEST_CASE("Defaults are Delve's", "[pca]") {
  const LinearPCAOptions linear(5);
  const Conv2dPCAOptions conv(5);
  CHECK(linear.threshold() == 0.99);
  CHECK(conv.threshold() == 0.99);
  CHECK((linear.keepdim() && conv.keepdim()));
  CHECK((linear.centering() && !conv.centering()));
  CHECK_FALSE(linear.gradient_epoch_start());
  CHECK_FALSE(conv.gradient_epoch_start());
  CHECK_FALSE(conv.downsampling().has_value());
  std::ostringstream text;
  text << LinearPCA(5) << '\n' << Conv2dPCA(Conv2dPCAOptions(5).downsampling(8));
  CHECK(text.str() ==
        "delve::LinearPCA(in_features=5, threshold=0.99, keepdim=true, centering=true)\n"
        "delve::Conv2dPCA(in_filters=5, downsampling=8, threshold=0.99, keepdim=true, "
        "centering=false)");
}

TEST_CASE("A verbose layer reports each subspace that it finds once", "[pca]") {
  std::ostringstream told;
  std::streambuf* const before = std::cerr.rdbuf(told.rdbuf());
  LinearPCA layer = trained(LinearPCA(LinearPCAOptions(2).threshold(0.9).verbose(true)),
                            {torch::tensor({{0., 3.}, {1., 3.}})});
  for (int batch = 0; batch < 3; ++batch) layer->forward(torch::ones({1, 2}));
  std::cerr.rdbuf(before);
  CHECK(told.str() == "delve: LinearPCA: 1 of 2 dimensions explain 90 % of the variance\n");
}

TEST_CASE("Autocast and inference mode around it leave the sums as they are", "[pca]") {
  torch::manual_seed(16);
  const torch::Tensor rows = random_rows(90, 6, 4).to(torch::kFloat);
  LinearPCA expected = trained(LinearPCA(LinearPCAOptions(6).threshold(0.8)), {rows});
  LinearPCA layer(LinearPCAOptions(6).threshold(0.8));
  {
    const c10::InferenceMode inference;
    const delve_test::Autocast autocast;
    layer->forward(rows + 0);
  }
  {
    const c10::InferenceMode inference;
    layer->eval();
    CHECK(torch::equal(layer->forward(rows), expected->forward(rows)));
    layer->train();
    layer->forward(rows);
  }
  layer->forward(rows);
  CHECK(layer->samples() == 180);
}

}  // namespace test_pca
