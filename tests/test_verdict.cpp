// SPDX-License-Identifier: MIT
#include <delve/verdict.hpp>

#include <sstream>
#include <string>
#include <vector>

#include "catch.hpp"
#include "records.hpp"

namespace test_verdict {

using delve::Evidence;
using delve::Mode;
using delve::VerdictKind;

namespace {

/// A layer of a made-up network, with d = 8; what is negative is not known.
struct Made {
  double saturation;
  double probe = -1;
  double error = 0.002;
  bool is_border = false;
  std::int64_t samples = 1000;
};

std::string name(std::size_t i) {
  return "conv" + std::to_string(i);
}

/// The layers in training and evaluation, and a last one behind them.
delve::EpochRecord record_of(const std::vector<Made>& layers, std::int64_t epoch = 7) {
  delve::EpochRecord record{epoch, {}, {}};
  for (const Mode mode : {Mode::Train, Mode::Eval}) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      delve::LayerRecord& layer =
          record.layers.emplace_back(delve_test::layer(name(i), mode, {layers[i].saturation}));
      layer.samples = layers[i].samples;
      if (mode != Mode::Eval || layers[i].probe < 0) continue;
      layer.values.push_back({"probe", "probe-accuracy", layers[i].probe, delve::ValueKind::Share});
      layer.values.push_back({"probe_error", "probe-error", layers[i].error});
    }
    record.layers.push_back(delve_test::layer("fc", mode, {0.9}));
  }
  return record;
}

/// What they see: those of the border more than the input of 32 × 32.
std::vector<delve::LayerField> fields_of(const std::vector<Made>& layers) {
  std::vector<delve::LayerField> fields;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto size = static_cast<std::int64_t>(8 * (i + 1));
    fields.push_back(delve_test::field(name(i), size, size, layers[i].is_border));
  }
  return fields;
}

std::vector<std::string> names(std::size_t from, std::size_t to) {
  std::vector<std::string> list;
  for (std::size_t i = from; i < to; ++i) list.push_back(name(i));
  return list;
}

struct Case {
  std::string says;
  std::vector<Made> layers;
  bool has_fields;
  VerdictKind kind;
  std::size_t first;  // of the tail
};

constexpr bool kBorder = true;

}  // namespace

TEST_CASE("A tail takes two kinds of evidence, one makes it possible", "[verdict]") {
  const auto [says, layers, has_fields, kind, first] = GENERATE(values<Case>({
      {"all three",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.7, 0.002, kBorder}, {0.1, 0.7, 0.002, kBorder}},
       true,
       VerdictKind::Tail,
       2},
      {"border and saturation, without probes",
       {{0.5}, {0.6}, {0.1, -1, 0, kBorder}, {0.2, -1, 0, kBorder}},
       true,
       VerdictKind::Tail,
       2},
      {"border and probe: saturation is high",
       {{0.5, 0.5}, {0.5, 0.7}, {0.5, 0.7, 0.002, kBorder}, {0.5, 0.69, 0.002, kBorder}},
       true,
       VerdictKind::Tail,
       2},
      {"saturation and probe, without fields",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.702}, {0.1, 0.7}},
       false,
       VerdictKind::Tail,
       2},
      {"each layer by two kinds of its own",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.8, 0.002, kBorder}, {0.5, 0.7, 0.002, kBorder}},
       true,
       VerdictKind::Tail,
       2},
      {"the run ends where a layer has one kind only",
       {{0.5, 0.5}, {0.6, 0.6}, {0.1, 0.7, 0.002}, {0.1, 0.7, 0.002, kBorder}},
       true,
       VerdictKind::Tail,
       3},
      {"the probe gains more than two standard errors",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.7041}, {0.1, 0.7083}},
       false,
       VerdictKind::PossibleTail,
       2},
      {"the probe gains nearly two",
       {{0.5, 0.5}, {0.6, 0.5}, {0.1, 0.5039}, {0.1, 0.5039}},
       false,
       VerdictKind::Tail,
       2},
      {"the best layer before one lies in the run: both errors count",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.703, 0.002}, {0.1, 0.7035, 0.0002}},
       false,
       VerdictKind::Tail,
       2},
      {"a probe of which too little is known is no evidence",
       {{0.5, 0.5}, {0.6, 0.7}, {0.1, 0.7, 0.0101}, {0.1, 0.7, 0.0101}},
       false,
       VerdictKind::PossibleTail,
       2},
      {"the border alone",
       {{0.5}, {0.5}, {0.5, -1, 0, kBorder}, {0.5, -1, 0, kBorder}},
       true,
       VerdictKind::PossibleTail,
       2},
      {"low saturation alone", {{0.5}, {0.5}, {0.5}, {0.2}}, false, VerdictKind::PossibleTail, 3},
      {"half of the median is not below it",
       {{0.5}, {0.5}, {0.5}, {0.25}},
       false,
       VerdictKind::NoTail,
       0},
      {"nothing speaks for one",
       {{0.5, 0.5}, {0.5, 0.6}, {0.5, 0.7}, {0.5, 0.8}},
       true,
       VerdictKind::NoTail,
       0},
      {"what is low before the end is no tail",
       {{0.5}, {0.5}, {0.1}, {0.5}},
       false,
       VerdictKind::NoTail,
       0},
      {"saturation of few data points is no evidence",
       {{0.5}, {0.5}, {0.1, -1, 0, false, 79}, {0.1, -1, 0, false, 79}},
       false,
       VerdictKind::NotEnoughData,
       0},
      {"ten a dimension suffice",
       {{0.5}, {0.5}, {0.1, -1, 0, false, 80}, {0.1, -1, 0, false, 80}},
       false,
       VerdictKind::Tail,
       99},
      {"too few layers", {{0.5}, {0.1}}, false, VerdictKind::NotEnoughData, 0},
  }));
  INFO(says);
  const delve::Verdict verdict = delve::verdict(
      record_of(layers), has_fields ? fields_of(layers) : std::vector<delve::LayerField>());
  if (first == 99) {
    CHECK(verdict.kind == VerdictKind::PossibleTail);
    return;
  }
  CHECK(verdict.kind == kind);
  const bool has_tail = kind == VerdictKind::Tail || kind == VerdictKind::PossibleTail;
  CHECK(verdict.layers == (has_tail ? names(first, layers.size()) : names(0, 0)));
  CHECK(verdict.epoch == 7);
  CHECK(verdict.evidence.empty() == !has_tail);
  CHECK(verdict.advice.empty() == !has_tail);
  CHECK_FALSE(verdict.sentence.empty());
}

TEST_CASE("The median is that of the layers before the run, two at least", "[verdict]") {
  // Of all layers it would be 0.1, and no layer low.
  const std::vector<Made> layers = {{0.5}, {0.6}, {0.1}, {0.1}, {0.1}, {0.1}, {0.1}};
  const delve::Verdict verdict = delve::verdict(record_of(layers), {});
  CHECK(verdict.layers == names(2, 7));
  // The first two are never part of one.
  CHECK(delve::verdict(record_of({{0.6}, {0.1}, {0.1}}), {}).layers == names(2, 3));
}

TEST_CASE("The verdict says by what, what to try, and what it does not rest on", "[verdict]") {
  const std::vector<Made> layers = {
      {0.5, 0.5}, {0.6, 0.7}, {0.1, 0.702, 0.002, kBorder}, {0.15, 0.699, 0.002, kBorder}};
  std::vector<delve::LayerField> fields = fields_of(layers);
  for (delve::LayerField& field : fields) {
    for (delve::AxisField& axis : field.axes) axis.least_before = *axis.least - 8;
  }
  delve::Verdict verdict = delve::verdict(record_of(layers), fields);
  std::ostringstream text;
  text << verdict;
  CHECK(text.str() ==
        "conv2 to conv3 (2 layers) form a tail: they contribute nothing that the layers before do "
        "not.\n"
        "  Evidence: Behind the border: nothing of the input is new to them (receptive field up to "
        "32, input 32 × 32). Low saturation: 10.0 to 15.0 %, against a median of 55.0 % before. "
        "Nothing gained by probes: at best +0.20 ± 0.20 points of accuracy over the best "
        "layer before (70.0 %).\n"
        "  Advice: Try a larger input: from 25 × 25 on no layer is a border layer. Or leave them "
        "out: a head instead of conv2 to conv3 (2 layers) should do as well, for less.\n");
  CHECK(verdict.limits == std::vector<std::string>{"Judged on epoch 7, by saturation in training.",
                                                   "Not judged: fc, the network's last layer, "
                                                   "which gives its answer."});
  // What receptive_fields() found of the downsampling is passed on.
  verdict = delve::verdict(record_of(layers), fields,
                           {{{"conv1"}, {"conv3"}, 1}, {{"conv0", "pool"}, {}, 2}});
  CHECK(verdict.advice[1] ==
        "Or keep the input and leave out the downsampling of conv0 and pool: then there is no "
        "border layer either.");
  REQUIRE(verdict.judged.size() == 4);
  CHECK(verdict.judged[1].count(Evidence::Missing) == 3);
  CHECK(verdict.judged[3].count(Evidence::For) == 3);
}

TEST_CASE("What was not measured is named", "[verdict]") {
  const delve::Verdict verdict =
      delve::verdict(record_of({{0.5}, {0.5}, {0.5}, {0.5, -1, 0, false, 20}}), {});
  const auto has = [&](const std::string& part) {
    for (const std::string& limit : verdict.limits) {
      if (limit.find(part) != std::string::npos) return true;
    }
    return false;
  };
  CHECK(has("receptive_field(true)"));
  CHECK(has("Ask for the statistic \"probe\""));
  CHECK(has("Not by the saturation of conv3: fewer than 10 data points"));
  CHECK_FALSE(has("is not known here"));
}

TEST_CASE("The last whole epoch of a run is judged, with the fields that an earlier one found",
          "[verdict]") {
  const std::vector<Made> tail = {{0.5}, {0.6}, {0.1, -1, 0, kBorder}, {0.1, -1, 0, kBorder}};
  std::vector<delve::EpochRecord> records = {record_of(tail, 0), record_of(tail, 1),
                                             record_of({{0.5}, {0.5}, {0.5}, {0.5}}, 2)};
  records[0].fields = fields_of(tail);
  records[2].scalars = {{"partial-epoch", 1}};
  const delve::Verdict verdict = delve::verdict(records);
  CHECK(verdict.kind == VerdictKind::Tail);
  CHECK(verdict.epoch == 1);
  CHECK(verdict.layers == names(2, 4));
  delve::ReceptiveFields none;
  CHECK(delve::verdict(records, none).kind == VerdictKind::PossibleTail);
  CHECK(delve::verdict(std::vector<delve::EpochRecord>{}).kind == VerdictKind::NotEnoughData);
}

TEST_CASE("A layer that ran on several inputs is behind the border if it is on all of them",
          "[verdict]") {
  const std::vector<Made> tail = {{0.5}, {0.6}, {0.1, -1, 0, kBorder}, {0.1, -1, 0, kBorder}};
  std::vector<delve::EpochRecord> records = {record_of(tail, 0), record_of(tail, 1)};
  records[0].fields = fields_of(tail);
  const bool is_border = GENERATE(false, true);
  CAPTURE(is_border);
  // The row of a larger input stands before that of the smaller one, in the same epoch or not.
  records[1].fields = {delve_test::field(name(2), 24, 24, is_border), records[0].fields[2]};
  const delve::Verdict verdict = delve::verdict(records);
  CHECK(verdict.kind == VerdictKind::Tail);
  CHECK(verdict.layers == (is_border ? names(2, 4) : names(3, 4)));
}

TEST_CASE("A shortcut between two border layers is behind the border, one before them is not",
          "[verdict]") {
  const std::vector<Made> layers = {
      {0.5}, {0.6}, {0.1}, {0.1, -1, 0, kBorder}, {0.1}, {0.1, -1, 0, kBorder}};
  const delve::Verdict verdict = delve::verdict(record_of(layers), fields_of(layers));
  CHECK(verdict.kind == VerdictKind::Tail);
  CHECK(verdict.layers == names(3, 6));
}

TEST_CASE("Saturation is held against what a layer's inputs allow", "[verdict]") {
  const std::vector<Made> layers = {{0.5}, {0.5}, {0.5}, {0.2}};
  std::vector<delve::LayerField> fields = fields_of(layers);
  CHECK(delve::verdict(record_of(layers), fields).layers == names(3, 4));
  fields.back().rank_limit = 0.25;  // of which it fills 0.8
  CHECK(delve::verdict(record_of(layers), fields).kind == VerdictKind::NoTail);
}

TEST_CASE("Layers behind the last map are not judged where there are maps", "[verdict]") {
  const std::vector<Made> layers = {{0.5}, {0.6}, {0.1, -1, 0, kBorder}, {0.01}};
  std::vector<delve::LayerField> fields = fields_of(layers);
  fields.back().is_map = false;
  const delve::Verdict verdict = delve::verdict(record_of(layers), fields);
  CHECK(verdict.layers == names(2, 3));
  CHECK(verdict.limits[1] ==
        "Not judged: conv3, fc, the network's head: behind the last map there is no receptive "
        "field to judge by.");
}

TEST_CASE("Without training, evaluation is judged", "[verdict]") {
  delve::EpochRecord record = record_of({{0.5}, {0.5}, {0.5}, {0.1}});
  std::vector<delve::LayerRecord> evaluated;
  for (const delve::LayerRecord& layer : record.layers) {
    if (layer.mode == Mode::Eval) evaluated.push_back(layer);
  }
  record.layers = evaluated;
  const delve::Verdict verdict = delve::verdict(record, {});
  CHECK(verdict.layers == names(3, 4));
  CHECK(verdict.limits[0] == "Judged on epoch 7, by saturation in evaluation.");
}

TEST_CASE("Missing values, and no layers at all, are judged without a fault", "[verdict]") {
  CHECK(delve::verdict(delve::EpochRecord{}, {}).kind == VerdictKind::NotEnoughData);
  delve::EpochRecord record = record_of({{0.5}, {0.5}, {0.5}, {0.5}, {0.1}});
  record.layers[1].values[0].value = delve::missing_value();
  const delve::Verdict verdict = delve::verdict(record, {});
  CHECK(verdict.layers == names(4, 5));
  CHECK(verdict.judged.size() == 4);
}

}  // namespace test_verdict
