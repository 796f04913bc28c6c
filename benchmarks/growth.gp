# SPDX-License-Identifier: MIT
#
# Pictures of the tables of benchmark_growth, and the slopes of their curves on logarithmic axes:
#
#   gnuplot -e "tables='FOLDER'; pictures='FOLDER'" growth.gp

if (!exists("tables")) tables = "runs/benchmarks"
if (!exists("pictures")) pictures = "docs/images"

set datafile separator ","
set terminal pngcairo size 900,560 font "sans,11" background "white"
set logscale xy
set format y "10^{%T}"
set grid xtics ytics linecolor rgb "#dddddd"
set border 3
set tics nomirror
set key top left reverse Left samplen 2
set ylabel "seconds"

# Fits log y = a + slope · log x to column `column` of a table where x is at least `from`: below, costs
# of each call hide those that grow.
fit_slope = 'stats file using (column(1) >= from ? log(column(1)) : NaN):(log(column(y))) nooutput'
curve(x) = exp(intercept) * x**slope

# --- against the width of the layer
set output pictures . "/performance_width.png"
file = tables . "/growth_width.csv"
set title "One update of 4096 rows, and the eigenvalues of one layer"
set xlabel "width d of the layer"
set xtics (64, 128, 256, 512, 1024, 2048, 4096)
from = 256
y = 2
@fit_slope
update_slope = STATS_slope
update_intercept = STATS_intercept
y = 3
@fit_slope
eigen_slope = STATS_slope
eigen_intercept = STATS_intercept
print sprintf("update against d >= %d:           slope %.2f", from, update_slope)
print sprintf("eigenvalues against d >= %d:      slope %.2f", from, eigen_slope)
plot [50:5000] \
  file using 1:2 with points pt 7 lc rgb "#0072b2" title "update", \
  x < from ? NaN : exp(update_intercept) * x**update_slope with lines lc rgb "#0072b2" \
    title sprintf("d^{ %.2f} from d = %d on", update_slope, from), \
  file using 1:3 with points pt 5 lc rgb "#d55e00" title "eigenvalues", \
  x < from ? NaN : exp(eigen_intercept) * x**eigen_slope with lines lc rgb "#d55e00" \
    title sprintf("d^{ %.2f} from d = %d on", eigen_slope, from)

# --- against the rows of a batch
set output pictures . "/performance_batch.png"
file = tables . "/growth_batch.csv"
set title "One update of a layer 512 wide, with its share of the sums of waiting rows"
set xlabel "rows n of the batch"
set xtics (32, 128, 512, 2048, 8192, 32768)
from = 512
y = 2
@fit_slope
slope = STATS_slope
intercept = STATS_intercept
print sprintf("update against n >= %d:           slope %.2f", from, slope)
plot [25:40000] \
  file using 1:2 with points pt 7 lc rgb "#0072b2" title "update", \
  x < from ? NaN : curve(x) with lines lc rgb "#0072b2" \
    title sprintf("n^{ %.2f} from n = %d on", slope, from)

# --- against the number of layers
set output pictures . "/performance_layers.png"
file = tables . "/growth_layers.csv"
set title "A forward of layers Linear(64, 64) with 64 rows, and what tracking them adds"
set xlabel "layers"
set xtics (1, 4, 16, 64, 256)
from = 8
y = 3
@fit_slope
slope = STATS_slope
intercept = STATS_intercept
print sprintf("tracking against layers >= %d:      slope %.2f", from, slope)
plot [0.9:300] \
  file using 1:2 with points pt 5 lc rgb "#999999" title "forward", \
  file using 1:3 with points pt 7 lc rgb "#0072b2" title "tracking", \
  x < from ? NaN : curve(x) with lines lc rgb "#0072b2" \
    title sprintf("layers^{ %.2f} from %d layers on", slope, from)
