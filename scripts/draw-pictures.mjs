// Draws the pictures of the docs: `node scripts/draw-pictures.mjs [--check]`. Each docs/pictures/NAME.txt
// (its first line is the alternative text, the others the picture in characters) becomes NAME.svg.
// Lines, arrows and shades are drawn as shapes, words as text of a fixed width, so that a picture
// looks the same in every font. Colours follow the reader's light or dark theme.
import { globSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cell = { width: 8.4, height: 19 }
const margin = 20

/** Which of its four sides a line leaves a cell by: left, right, up, down. */
const sidesByCharacter = {
  '─': 'lr',
  '│': 'ud',
  '┌': 'rd',
  '┐': 'ld',
  '└': 'ru',
  '┘': 'lu',
  '├': 'rud',
  '┤': 'lud',
  '┬': 'lrd',
  '┴': 'lru',
  '┼': 'lrud',
}
const arrows = {
  '►': '-4,-4.5 4.5,0 -4,4.5',
  '◄': '4,-4.5 -4.5,0 4,4.5',
  '▲': '-4.5,4 0,-4.5 4.5,4',
  '▼': '-4.5,-4 0,4.5 4.5,-4',
}
const shades = { '█': 'full', '▓': 'full', '▒': 'half', '░': 'low' }

const number = (value) => String(Math.round(value * 10) / 10)
const escapeText = (text) =>
  text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;').replace(/"/g, '&quot;')

function drawLine(sides, x, y) {
  const ends = {
    l: [x - cell.width / 2, y],
    r: [x + cell.width / 2, y],
    u: [x, y - cell.height / 2],
    d: [x, y + cell.height / 2],
  }
  // Two sides round a corner are one curve.
  if (sides.length === 2 && !['lr', 'ud'].includes(sides)) {
    const [from, to] = [...sides].map((side) => ends[side].map(number).join(' '))
    return `M${from}Q${number(x)} ${number(y)} ${to}`
  }
  return [...sides]
    .map((side) => `M${number(x)} ${number(y)}L${ends[side].map(number).join(' ')}`)
    .join('')
}

/** Words of a line: single spaces belong to them, two or more part them. */
function* listWords(line) {
  const words = line.replace(/[─│┌┐└┘├┤┬┴┼►◄▲▼█▓▒░]/g, ' ')
  for (const found of words.matchAll(/\S+(?: \S+)*/g)) yield { text: found[0], at: found.index }
}

function drawPicture(text) {
  const [title, ...rest] = text.trimEnd().split('\n')
  const lines = rest.map((line) => line.trimEnd())
  const indent = Math.min(...lines.filter(Boolean).map((line) => line.search(/\S/)))
  const rows = lines.map((line) => [...line.slice(indent)])
  const width = Math.max(...rows.map(({ length }) => length)) * cell.width + 2 * margin
  const height = rows.length * cell.height + 2 * margin
  const paths = []
  const shapes = []
  rows.forEach((row, i) => {
    const y = margin + (i + 0.5) * cell.height
    row.forEach((character, j) => {
      const x = margin + (j + 0.5) * cell.width
      const sides = sidesByCharacter[character]
      if (sides) paths.push(drawLine(sides, x, y))
      if (arrows[character])
        shapes.push(
          `<polygon class="arrow" transform="translate(${number(x)} ${number(y)})" points="${arrows[character]}"/>`,
        )
      if (shades[character])
        shapes.push(
          `<rect class="${shades[character]}" x="${number(x - cell.width / 2)}" y="${number(y - 6.5)}" width="${cell.width}" height="13"/>`,
        )
    })
    for (const word of listWords(row.join('')))
      shapes.push(
        `<text x="${number(margin + word.at * cell.width)}" y="${number(y + 4.6)}" textLength="${number([...word.text].length * cell.width)}">${escapeText(word.text)}</text>`,
      )
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${number(width)} ${number(height)}" width="${number(width)}" height="${number(height)}" role="img">
<title>${escapeText(title)}</title>
<style>
.page{fill:#f7f8fa;stroke:#dfe3e8}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#24292f;white-space:pre}
.line{fill:none;stroke:#3b6fd4;stroke-width:1.6;stroke-linecap:round}
.arrow{fill:#3b6fd4}.full{fill:#3b6fd4}.half{fill:#8fb0ec}.low{fill:#d5e0f6}
@media (prefers-color-scheme:dark){.page{fill:#161b22;stroke:#30363d}text{fill:#e6edf3}.line{stroke:#79a8ff}.arrow{fill:#79a8ff}.full{fill:#79a8ff}.half{fill:#3d5f9e}.low{fill:#26344f}}
</style>
<rect class="page" x=".5" y=".5" width="${number(width - 1)}" height="${number(height - 1)}" rx="10"/>
<path class="line" d="${paths.join('')}"/>
${shapes.join('\n')}
</svg>
`
}

const isCheck = process.argv.includes('--check')
const stale = []
for (const path of globSync('docs/pictures/*.txt', { cwd: root }).sort()) {
  const target = join(root, dirname(path), `${basename(path, '.txt')}.svg`)
  const drawn = drawPicture(readFileSync(join(root, path), 'utf8'))
  if (existsSync(target) && readFileSync(target, 'utf8') === drawn) continue
  stale.push(basename(target))
  if (!isCheck) writeFileSync(target, drawn)
}
if (stale.length > 0) {
  console.log(`${isCheck ? 'Not as drawn from its .txt' : 'Drawn'}: ${stale.join(', ')}`)
  if (isCheck) process.exitCode = 1
}
