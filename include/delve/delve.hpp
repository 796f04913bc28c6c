// SPDX-License-Identifier: MIT
#pragma once

// All that is needed to watch a training. To be included separately: the writers that need another
// library, writers/json.hpp and writers/tensorboard.hpp; layers that confine a network to the
// directions of its data, pca.hpp and low_rank.hpp; and what works on past runs, reconstruct.hpp,
// read_table.hpp, compare_runs.hpp and report.hpp. Each header compiles alone: include only those
// that you need.

#include <delve/check_layer_sat.hpp>
#include <delve/covariance.hpp>
#include <delve/eigenvalues.hpp>
#include <delve/features.hpp>
#include <delve/field_advice.hpp>
#include <delve/forward_call.hpp>
#include <delve/forward_hook.hpp>
#include <delve/layer_field.hpp>
#include <delve/layer_kind.hpp>
#include <delve/layers.hpp>
#include <delve/mode.hpp>
#include <delve/module_view.hpp>
#include <delve/options.hpp>
#include <delve/picture_format.hpp>
#include <delve/probe.hpp>
#include <delve/product_precision.hpp>
#include <delve/receptive_field.hpp>
#include <delve/record.hpp>
#include <delve/row_targets.hpp>
#include <delve/spectrum.hpp>
#include <delve/statistic.hpp>
#include <delve/statistics.hpp>
#include <delve/verdict.hpp>
#include <delve/version.hpp>
#include <delve/writers/console.hpp>
#include <delve/writers/csv.hpp>
#include <delve/writers/function.hpp>
#include <delve/writers/html.hpp>
#include <delve/writers/npy.hpp>
#include <delve/writers/plot.hpp>
#include <delve/writers/writer.hpp>
#include <delve/writers/writer_list.hpp>
