// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>    // std::any_of, std::find
#include <cstddef>      // std::size_t
#include <cstdint>      // std::int64_t
#include <string>       // std::string
#include <string_view>  // std::string_view
#include <vector>       // std::vector

#include <fmt/format.h>

#include <delve/detail/plot/plot_style.hpp>
#include <delve/detail/report/charts.hpp>
#include <delve/detail/report/markup.hpp>
#include <delve/detail/report/page_assets.hpp>
#include <delve/detail/report/report_history.hpp>
#include <delve/detail/support/numbers.hpp>
#include <delve/detail/support/text.hpp>
#include <delve/field_advice.hpp>
#include <delve/layer_field.hpp>
#include <delve/mode.hpp>
#include <delve/record.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>
#include <delve/writers/writer.hpp>

namespace delve {
inline namespace DELVE_ABI {
namespace detail {

/// A run as a page shows it.
struct ReportRun {
  std::string name;
  ReportHistory history;
  RunInfo info;
};

inline std::string html_list(std::string_view title, const std::vector<std::string>& sentences) {
  if (sentences.empty()) return "";
  std::string list = title.empty() ? "<ul>" : fmt::format("<h3>{}</h3><ul>", title);
  for (const std::string& sentence : sentences) {
    list += fmt::format("<li>{}</li>", html_text(sentence));
  }
  return list + "</ul>";
}

inline std::string verdict_html(const Verdict& verdict) {
  return fmt::format(
      "<section class=\"verdict {}\" aria-label=\"Verdict\"><p>{}</p>{}{}{}</section>",
      verdict_name(verdict.kind), html_text(verdict.sentence),
      html_list("Evidence", verdict.evidence), html_list("What to try", verdict.advice),
      html_list("Limits", verdict.limits));
}

inline std::string_view evidence_name(Evidence evidence) {
  return evidence == Evidence::For ? "for" : evidence == Evidence::Against ? "against" : "missing";
}

/// What a script or a reader of the page may want: all that it shows, to six digits; counts whole.
inline std::string data_json(const ReportRun& run, const Verdict& verdict) {
  const ReportHistory& history = run.history;
  std::vector<std::string> all_series;
  for (const ReportSeries& series : history.series()) {
    std::vector<std::string> layers;
    for (const std::string& layer : series.history.layers()) {
      const auto place = std::find(history.layers().begin(), history.layers().end(), layer);
      layers.push_back(fmt::to_string(place - history.layers().begin()));
    }
    std::vector<std::string> epochs;
    std::vector<std::string> values;
    for (std::size_t column = 0; column < series.history.columns().size(); ++column) {
      epochs.push_back(fmt::to_string(series.history.columns()[column].epoch));
      std::vector<std::string> numbers;
      for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        numbers.push_back(json_number(series.history.value(column, layer), series.kind));
      }
      values.push_back(json_list(numbers));
    }
    all_series.push_back(fmt::format(
        R"({{"mode":{},"stat":{},"quantity":{},"title":{},"kind":"{}","line":"{}","layers":{},"epochs":{},"values":{}}})",
        json_text(to_string(series.mode)), json_text(series.stat), json_text(series.quantity),
        json_text(series_title(series)), shown_as(series.kind), line_class(series),
        json_list(layers), json_list(epochs), json_list(values)));
  }
  std::vector<std::string> scalars;
  for (const ReportScalar& scalar : history.scalars()) {
    std::vector<std::string> epochs;
    std::vector<std::string> values;
    for (std::size_t column = 0; column < scalar.history.columns().size(); ++column) {
      epochs.push_back(fmt::to_string(scalar.history.columns()[column].epoch));
      values.push_back(json_number(scalar.history.value(column, 0)));
    }
    scalars.push_back(fmt::format(R"({{"name":{},"epochs":{},"values":{}}})",
                                  json_text(scalar.name), json_list(epochs), json_list(values)));
  }
  std::vector<std::string> fields;
  for (const LayerField& field : history.fields()) {
    fields.push_back(fmt::format(R"({{"layer":{},"least":{},"most":{},"border":{}}})",
                                 json_text(field.layer), json_number(least_field(field)),
                                 json_number(most_field(field)), field.is_border));
  }
  std::vector<std::string> judged;
  for (const JudgedLayer& layer : verdict.judged) {
    judged.push_back(fmt::format(R"({{"layer":{},"border":"{}","saturation":"{}","probe":"{}"}})",
                                 json_text(layer.layer), evidence_name(layer.behind_border),
                                 evidence_name(layer.low_saturation),
                                 evidence_name(layer.no_gain)));
  }
  std::vector<std::string> settings;
  for (const auto& [name, value] : run.info.settings) {
    settings.push_back(json_list({json_text(name), json_text(value)}));
  }
  return fmt::format(
      R"({{"run":{},"layers":{},"series":{},"scalars":{},"fields":{},"verdict":{{"kind":"{}","epoch":{},"layers":{},"sentence":{},"evidence":{},"advice":{},"limits":{},"judged":{}}},"problems":{},"left_out":{},"settings":{}}})",
      json_text(run.name), json_texts(history.layers()), json_list(all_series), json_list(scalars),
      json_list(fields), verdict_name(verdict.kind), verdict.epoch, json_texts(verdict.layers),
      json_text(verdict.sentence), json_texts(verdict.evidence), json_texts(verdict.advice),
      json_texts(verdict.limits), json_list(judged), json_texts(run.info.problems),
      json_texts(run.info.left_out), json_list(settings));
}

/// One line per layer, for the last epoch: d, n, each statistic, its receptive field, and its
/// saturation over the epochs.
inline std::string layer_table(const ReportHistory& history, const Verdict& verdict) {
  const ReportSeries* saturation = history.saturation();
  const bool has_fields = !history.fields().empty();
  std::string head = "<th scope=\"col\"><button>layer</button></th>";
  const auto column = [&](std::string_view title) {
    head += fmt::format("<th scope=\"col\"><button>{}</button></th>", html_text(title));
  };
  // Records read from a CSV table lack them.
  const bool has_sizes =
      std::any_of(history.last().layers.begin(), history.last().layers.end(),
                  [](const LayerRecord& layer) { return layer.width > 0 || layer.samples > 0; });
  if (has_sizes) {
    column("d");
    column("n");
  }
  for (const ReportSeries& series : history.series()) {
    column(fmt::format("{}, {}", series.stat, mode_word(series.mode)));
  }
  if (has_fields) {
    column("receptive field");
    column("border");
  }
  if (saturation != nullptr)
    head += "<th scope=\"col\" class=\"words\">saturation, all epochs</th>";
  std::string rows;
  for (std::size_t i = 0; i < history.layers().size(); ++i) {
    const std::string& layer = history.layers()[i];
    const bool is_tail =
        std::find(verdict.layers.begin(), verdict.layers.end(), layer) != verdict.layers.end();
    const LayerRecord* record = nullptr;
    for (const LayerRecord& it : history.last().layers) {
      if (it.layer == layer && (record == nullptr || record->samples == 0)) record = &it;
    }
    const auto number = [](std::int64_t value) {
      return value > 0 ? fmt::format("<td data-v=\"{}\">{}</td>", value, grouped(value))
                       : std::string("<td data-v=\"\">–</td>");
    };
    rows += fmt::format("<tr{}><th scope=\"row\"><button data-l=\"{}\">{}</button></th>",
                        is_tail ? " class=\"in-tail\"" : "", i, html_text(layer));
    if (has_sizes) {
      rows += number(record == nullptr ? 0 : record->width);
      rows += number(record == nullptr ? 0 : record->samples);
    }
    for (std::size_t s = 0; s < history.series().size(); ++s) {
      const ReportSeries& series = history.series()[s];
      const double value = last_value(series, layer, history.last().epoch);
      rows += fmt::format("<td data-s=\"{}\" data-l=\"{}\" data-v=\"{}\">{}</td>", s, i,
                          is_finite(value) ? json_number(value, series.kind) : "",
                          shown(value, series.kind));
    }
    if (has_fields) {
      const LayerField* field = history.field_of(layer);
      const double most = field == nullptr ? missing_value() : most_field(*field);
      rows +=
          fmt::format("<td data-v=\"{}\">{}</td><td>{}</td>",
                      is_nan(most) ? "" : number_text(is_finite(most) ? most : 1e9),
                      field == nullptr ? "–" : html_text(field_text(*field)),
                      field != nullptr && field->is_border ? (is_tail ? "border, tail" : "border")
                      : is_tail                            ? "tail"
                                                           : "");
    }
    if (saturation != nullptr) {
      const std::size_t place = saturation->history.place(layer);
      rows += place < saturation->history.layers().size()
                  ? fmt::format("<td>{}</td>",
                                sparkline(saturation->history, place, "saturation of " + layer))
                  : std::string("<td>–</td>");
    }
    rows += "</tr>\n";
  }
  return fmt::format(
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table of the layers, may "
      "be "
      "wider than the screen\"><table class=\"layers-table\"><caption class=\"note\">Epoch <span "
      "class=\"epoch\">{}</span>{}</caption><thead><tr>{}</tr></thead>"
      "<tbody>{}</tbody></table></div>",
      history.last().epoch, has_sizes ? ". d: features; n: data points in the last epoch." : "",
      head, rows);
}

inline std::string settings_html(const RunInfo& info) {
  std::string list = "<dl>";
  for (const auto& [name, value] : info.settings) {
    list += fmt::format("<dt>{}</dt><dd>{}</dd>", html_text(name), html_text(value));
  }
  return list + "<dt>delve</dt><dd>" DELVE_VERSION_TEXT "</dd></dl>";
}

/// All of one run.
inline std::string run_html(const ReportRun& run) {
  const ReportHistory& history = run.history;
  const Verdict verdict = history.verdict();
  std::string html = fmt::format(
      "<article class=\"run\" aria-label=\"Run {0}\"><h1>{0}</h1><p class=\"sub\">{1} layers, {2} "
      "epoch{3}</p>{4}",
      html_text(run.name), history.layers().size(), history.epochs(),
      history.epochs() == 1 ? "" : "s", verdict_html(verdict));
  html += fmt::format(
      "<div class=\"epochs only-script\"><label>Epoch <span class=\"number\">{}</span> <input "
      "type=\"range\" "
      "min=\"0\" max=\"0\" value=\"0\" aria-label=\"Epoch shown in the picture and the "
      "table\"></label></div>",
      history.last().epoch);
  html += "<section class=\"layers\"><h2>Layer by layer</h2>" + layer_chart(history, verdict) +
          "</section><section><h2>Table</h2>" + layer_table(history, verdict) +
          "<div class=\"own only-script\" tabindex=\"-1\" hidden></div></section>";
  if (const ReportSeries* saturation = history.saturation()) {
    html += fmt::format("<section><h2>{} over the epochs</h2>{}</section>",
                        html_text(series_title(*saturation)), heat_map(history, *saturation));
  }
  if (!history.scalars().empty()) {
    constexpr std::size_t most = 24;
    html += "<section><h2>Scalars</h2><div class=\"figures\">";
    for (std::size_t i = 0; i < history.scalars().size() && i < most; ++i) {
      html += scalar_chart(history.scalars()[i]);
    }
    html += "</div>";
    if (history.scalars().size() > most) {
      html += fmt::format("<p class=\"note\">{} more are in the table of the run.</p>",
                          history.scalars().size() - most);
    }
    html += "</section>";
  }
  html += "<section class=\"problems\"><h2>What was reported</h2>";
  if (run.info.problems.empty()) {
    html += run.info.is_known ? "<p>Nothing.</p>"
                              : "<p>Not known: this page was made from a table, which has no "
                                "messages.</p>";
  } else {
    html += html_list("", run.info.problems);
  }
  html += "</section>";
  if (!run.info.left_out.empty()) {
    html += "<section class=\"problems\"><h2>Not tracked</h2>" + html_list("", run.info.left_out) +
            "</section>";
  }
  html += "<section><h2>Options</h2>" + settings_html(run.info) + "</section>";
  html += fmt::format("<script type=\"application/json\">{}</script></article>",
                      data_json(run, verdict));
  return html;
}

/// The runs beside each other: what is said of each, and the last value of each scalar.
inline std::string comparison_html(const std::vector<ReportRun>& runs) {
  std::vector<std::string> names;
  for (const ReportRun& run : runs) {
    for (const ReportScalar& scalar : run.history.scalars()) {
      if (std::find(names.begin(), names.end(), scalar.name) == names.end()) {
        names.push_back(scalar.name);
      }
    }
  }
  std::string head = "<th scope=\"col\">run</th><th scope=\"col\">epochs</th>";
  for (const std::string& name : names) {
    head += fmt::format("<th scope=\"col\">{}</th>", html_text(name));
  }
  head += "<th scope=\"col\">mean saturation</th><th scope=\"col\" class=\"words\">verdict</th>";
  std::string rows;
  for (const ReportRun& run : runs) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td>", html_text(run.name),
                        run.history.epochs());
    for (const std::string& name : names) {
      double value = missing_value();
      double first = missing_value();
      for (const ReportRun& other : runs) {
        for (const ReportScalar& scalar : other.history.scalars()) {
          if (scalar.name != name) continue;
          const double last = scalar.history.value(scalar.history.columns().size() - 1, 0);
          if (&other == &runs.front()) first = last;
          if (&other == &run) value = last;
        }
      }
      const bool is_moved = &run != &runs.front() && is_finite(first) && is_finite(value);
      rows += fmt::format("<td>{}{}</td>", shown(value, ValueKind::Number),
                          is_moved ? fmt::format(" ({:+.3g})", value - first) : "");
    }
    double sum = 0;
    int count = 0;
    if (const ReportSeries* saturation = run.history.saturation()) {
      for (const std::string& layer : saturation->history.layers()) {
        const double value = last_value(*saturation, layer, run.history.last().epoch);
        if (!is_finite(value)) continue;
        sum += value;
        ++count;
      }
    }
    rows += fmt::format("<td>{}</td><td class=\"words\">{}</td></tr>",
                        shown(count > 0 ? sum / count : missing_value(), ValueKind::Share),
                        html_text(run.history.verdict().sentence));
  }
  return fmt::format(
      "<section><h1>{} runs</h1><p class=\"note\">In the last epoch of each; in brackets the "
      "difference from the first run.</p><div class=\"scroll\" tabindex=\"0\" role=\"region\" "
      "aria-label=\"Comparison, may be wider than the screen\"><table><thead><tr>{}</tr></thead>"
      "<tbody>{}</tbody></table></div></section>",
      runs.size(), head, rows);
}

/// A page of one run, or of several, of which the first is what the others are compared with.
/// A single file that loads nothing else.
inline std::string report_page(const std::string& title, const std::vector<ReportRun>& runs) {
  std::string page = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\"><title>{}</title><style>{}</style></head>"
      "<body><main>",
      html_text(title), kPageStyle);
  if (runs.size() > 1) page += comparison_html(runs);
  for (const ReportRun& run : runs) page += run_html(run);
  return page + "</main><script>" + kPageScript + "</script></body></html>\n";
}

}  // namespace detail
}  // namespace DELVE_ABI
}  // namespace delve
