# SPDX-License-Identifier: MIT
#
# Doxygen reads the pages through this. It gives each heading the anchor that it has on GitHub, with
# the page's name before it, for Doxygen's are those of the whole site; and has links name these.
# Pictures that stand as HTML, for the sake of their width, Doxygen would not find.

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
  gsub(/`/, "")  # which Doxygen turns to tags and then shows
  print $0 " {#" label(page, anchor(heading)) "}"
  next
}

!is_code && /^<img / {
  match($0, /src="[^"]*"/)
  file = substr($0, RSTART + 5, RLENGTH - 6)
  sub(/.*\//, "", file)
  match($0, /width="[^"]*"/)
  print "@image html " file " width=" substr($0, RSTART + 7, RLENGTH - 8) "px"
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
  # Of a link's text Doxygen takes backticks as they are.
  line = ""
  while (match($0, /\[`[^`\]]*`\]\(/)) {
    line = line substr($0, 1, RSTART) substr($0, RSTART + 2, RLENGTH - 5) "]("
    $0 = substr($0, RSTART + RLENGTH)
  }
  $0 = line $0
}

{ print }
