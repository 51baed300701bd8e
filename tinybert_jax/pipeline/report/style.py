"""The style of the page."""

STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --soft: #5b636c; --line: #d9dde2; --back: #fff; --box: #f4f5f7;
  --teacher: #4063a8; --student: #b3561a; --note: #fff4d6; --bad: #a8321f }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6e9; --soft: #a3abb5; --line: #3a4048; --back: #16191d;
  --box: #22262c; --teacher: #91b0ec; --student: #f0a06a; --note: #423814; --bad: #ff9c8a } img { padding: .4rem } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; color: var(--text); background: var(--back);
  overflow-wrap: anywhere }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .6rem }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; padding-top: 1rem; border-top: 1px solid var(--line) }
h3 { font-size: 1rem; margin: 1rem 0 .3rem }
.lead { max-width: 46rem; margin: 0 0 1.2rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .7rem }
.tiles div { background: var(--box); border-radius: 8px; padding: .8rem 1rem }
.tiles b { display: block; font-size: 1.7rem; line-height: 1.2; font-variant-numeric: tabular-nums }
.tiles span, .small { color: var(--soft); font-size: .875rem; line-height: 1.4 }
.note { background: var(--note); border-radius: 8px; padding: .6rem 1rem; margin: .8rem 0 0 }
.scroll { overflow-x: auto; max-width: 100% }
.tall { max-height: 32rem; overflow-y: auto; border: 1px solid var(--line); border-radius: 8px }
.tall thead { position: sticky; top: 0; z-index: 1; background: var(--back) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal }
th, td { text-align: right; padding: .3rem .65rem; border-bottom: 1px solid var(--line); white-space: nowrap }
th { font-weight: 600; font-size: .875rem; vertical-align: bottom; white-space: normal }
tr:first-child > th:first-child, td:first-child { text-align: left }
td:first-child { position: sticky; left: 0; background: var(--back) }
th[colspan] { text-align: center }
.teacher { color: var(--teacher) } .student { color: var(--student) } .worse { color: var(--bad); font-weight: 600 }
img { max-width: 100%; height: auto; display: block; background: #fff; border-radius: 6px }
.picture { margin: .8rem 0; overflow-x: auto }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .8rem }
.grid .picture { margin: 0 }
.beside { display: flex; flex-wrap: wrap; gap: .8rem 2rem; align-items: flex-start }
.beside .main { flex: 1 1 30rem; min-width: 0 } .beside .picture { margin: 0 }
.texts { padding-left: 1.6rem } .texts li { margin-bottom: .9rem } .texts p { margin: 0 0 .2rem }
.answers { display: flex; flex-wrap: wrap; gap: .1rem 1.1rem; font-size: .875rem }
.answers i { font-style: normal; color: var(--soft) }
.answers i.teacher { color: var(--teacher) } .answers i.student { color: var(--student) }
pre { background: var(--box); border-radius: 8px; padding: .8rem 1rem; font-size: .875rem;
  line-height: 1.45; margin: .3rem 0 1rem; white-space: pre-wrap; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .5rem 0 }
dt { color: var(--soft) } dd { margin: 0 }
li { max-width: 50rem }
summary { cursor: pointer }
.narrow { display: none }
@media (max-width: 40rem) { .wide { display: none } .narrow { display: block }
  table, th { font-size: .82rem } th, td { padding: .3rem .25rem }
  td:first-child { white-space: normal; max-width: 9rem; min-width: 4.5rem; overflow-wrap: break-word } }
@media (max-width: 34rem) { .spare { display: none } }
@media (max-width: 30rem) { dl { grid-template-columns: 1fr } dd { margin: 0 0 .3rem } }
@media (max-width: 25rem) { table, th { font-size: .75rem } th, td { padding: .3rem .16rem } }
@media print { .tall { max-height: none } }
"""
