# SPDX-License-Identifier: MIT
#
# Doxygen reads the pages through this. It gives each heading the anchor that it has on GitHub, with
# the page's name before it, for Doxygen's are those of the whole site; and has links name these.

# GitHub's anchor of a heading.
function anchor(heading) {
  heading = tolower(heading)
  gsub(/[^a-z0-9 _-]/, "", heading)
  gsub(/ /, "-", heading)
  return heading
}

function label(page, place) {
  return tolower(page) "-" place
}

BEGIN {
  page = ARGV[1]
  sub(/.*\//, "", page)
  sub(/\.md$/, "", page)
}

/^ *```/ { is_code = !is_code }

!is_code && /^##+ / {
  heading = $0
  sub(/^#+ /, "", heading)
  print $0 " {#" label(page, anchor(heading)) "}"
  next
}

!is_code {
  line = ""
  while (match($0, /\]\([^):]*#[^)]*\)/)) {
    link = substr($0, RSTART + 2, RLENGTH - 3)
    target = link
    sub(/#.*/, "", target)
    sub(/.*\//, "", target)
    sub(/\.md$/, "", target)
    sub(/.*#/, "", link)
    line = line substr($0, 1, RSTART + 1) "@ref " label(target == "" ? page : target, link) ")"
    $0 = substr($0, RSTART + RLENGTH)
  }
  $0 = line $0
}

{ print }
