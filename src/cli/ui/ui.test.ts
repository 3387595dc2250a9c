// Formatting, tables, texts side by side, progress lines: what is shown, character for character.
import { describe, expect, it } from 'vitest'
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatParameterCount,
  formatRate,
} from './format.ts'
import { drawBar, createProgress } from './progress.ts'
import { createStyle, shouldColour } from './style.ts'
import { formatDescriptions, formatTable, joinSideBySide, measureWidth, wrapText } from './table.ts'
import { createTerminal, getWrapColumns } from './terminal.ts'

describe('numbers', () => {
  it('durations', () => {
    expect([0.04, 9.94, 9.96, 59.4, 59.6, 187, 3599.6, 3729].map(formatDuration)).toEqual([
      '0.0 s',
      '9.9 s',
      '10 s',
      '59 s',
      '1:00 min',
      '3:07 min',
      '1:00:00 h',
      '1:02:09 h',
    ])
    expect(formatDuration(Infinity)).toBe('?')
  })
  it('bytes and counts', () => {
    expect([0, 999, 1000, 98_362_432, 999_960_000, 5e12].map(formatBytes)).toEqual([
      '0 bytes',
      '999 bytes',
      '1.0 kB',
      '98.4 MB',
      '1.0 GB',
      '5.0 TB',
    ])
    expect([999, 260_032, 134_515_008, 1.7e9].map(formatParameterCount)).toEqual([
      '999',
      '260 k',
      '134.5 M',
      '1.7 B',
    ])
    expect([
      formatCount(1_234_567),
      formatRate(0.416),
      formatRate(86.23),
      formatRate(1234.5),
      formatRate(NaN),
    ]).toEqual(['1,234,567', '0.42', '86.2', '1,235', '?'])
  })
})

describe('tables', () => {
  it('align columns left and right, without blanks at line ends', () => {
    const lines = formatTable(
      [
        ['name', 'n', 'about'],
        ['a', '1', ''],
        ['long name', '100', 'x'],
      ],
      ['left', 'right'],
    )
    expect(lines).toEqual(['name         n  about', 'a            1', 'long name  100  x'])
  })
  it('count what the screen shows: escapes take nothing, wide characters two', () => {
    expect([
      measureWidth('\x1b[31mred\x1b[39m'),
      measureWidth('日本'),
      measureWidth('e\u0301'),
      measureWidth('🎉'),
    ]).toEqual([3, 4, 1, 2])
    expect(
      formatTable([
        ['日本', 'x'],
        ['ab', 'x'],
      ]).map(measureWidth),
    ).toEqual([7, 7])
  })
  it('of no rows are empty', () => expect(formatTable([])).toEqual([]))
})

describe('tables of descriptions', () => {
  const rows = [
    ['--a <text>', 'what the first one is for, in a sentence of some length'],
    ['--long <text>', ''],
  ]
  it('wrap beside the row, and below it where little room is left', () => {
    expect(formatDescriptions(rows, 45)).toEqual([
      [
        '--a <text>     what the first one is for, in',
        '               a sentence of some length',
      ].join('\n'),
      '--long <text>',
    ])
    expect(formatDescriptions(rows, 38)[0]).toBe(
      ['--a <text>', '      what the first one is for, in a', '      sentence of some length'].join(
        '\n',
      ),
    )
  })
  it('stay on one line in a pipe', () =>
    expect(formatDescriptions(rows, undefined)).toEqual(formatTable(rows)))
})

describe('wrapped text', () => {
  it('breaks at blanks, inside words that are too long, and keeps line breaks', () => {
    expect(wrapText('the quick brown fox', 10)).toEqual(['the quick', 'brown fox'])
    expect(wrapText('a\n\nb', 10)).toEqual(['a', '', 'b'])
    expect(wrapText('abcdefghijkl', 5)).toEqual(['abcde', 'fghij', 'kl'])
  })
  it('never exceeds the width and loses no letter', () => {
    const text =
      '{"intent": "SearchCreativeWork", "slots": {"object_name": "日本の歌", "x": "averyveryverylongword"}}'
    for (let width = 4; width < 60; width++) {
      const lines = wrapText(text, width)
      expect(Math.max(...lines.map(measureWidth))).toBeLessThanOrEqual(width)
      expect(lines.join('').replaceAll(' ', '')).toBe(text.replaceAll(' ', ''))
    }
  })
  it('stands next to each other', () => {
    const lines = joinSideBySide(
      { heading: 'base', text: 'one two three four five' },
      { heading: 'expert', text: 'x' },
      43,
    )
    expect(lines[0]).toMatch(/^base {16} │ expert$/)
    expect(lines.slice(2)).toEqual(['one two three four   │ x', 'five                 │'])
  })
})

/** A stream that remembers, and a clock that is set. */
function surroundings(isTTY: boolean) {
  const written: string[] = []
  const clock = { at: 0 }
  return {
    written,
    clock,
    stream: { write: (text: string) => written.push(text), isTTY, columns: 60 },
    now: () => clock.at,
  }
}

describe('progress', () => {
  it('on a terminal is one line, redrawn at most ten times a second and cleared at the end', () => {
    const { written, clock, ...output } = surroundings(true)
    const progress = createProgress({ ...output, label: 'training', total: 200 })
    for (let done = 0; done <= 100; done++, clock.at += 10) progress.update(done, 'loss 1.0')
    progress.end()
    expect(written.length).toBeLessThanOrEqual(12)
    expect(
      written.slice(0, -1).every((text) => text.startsWith('\r') && !text.includes('\n')),
    ).toBe(true)
    expect(written.at(-2)).toContain('50 %')
    expect(written.at(-1)).toBe('\r\x1b[K')
  })
  it('elsewhere is a line every few seconds', () => {
    const { written, clock, ...output } = surroundings(false)
    const progress = createProgress({ ...output, label: 'training', total: 100 })
    for (let done = 0; done <= 20; done++, clock.at += 1000) progress.update(done)
    progress.end()
    expect(written).toHaveLength(6)
    expect(
      written.every(
        (text) => text.endsWith('\n') && !text.includes('\r') && !text.includes('\x1b'),
      ),
    ).toBe(true)
    expect(written.at(-1)).toBe('training  done in 21 s\n')
  })
  it('tells the time left from the recent rate, not from the first steps', () => {
    const { written, clock, ...output } = surroundings(false)
    const progress = createProgress({ ...output, label: 'x', total: 100 })
    progress.update(0)
    for (let done = 1; done <= 21; done++) {
      clock.at = 60_000 + done * 1000
      progress.update(done)
    }
    expect(written.at(-1)).toContain('1:19 min left')
  })
  it('fits the terminal, and omits unknown shares', () => {
    const { written, clock, ...output } = surroundings(true)
    const progress = createProgress({ ...output, label: 'fetching', total: undefined })
    clock.at = 1000
    progress.update(5, 'x'.repeat(100))
    expect(measureWidth(written.at(-1)!.replace('\r', ''))).toBeLessThan(60)
    expect(written.at(-1)).not.toContain('%')
  })
  it.each([0, undefined])('takes 80 columns where the terminal reports %s', (columns) => {
    const { written, clock, ...output } = surroundings(true)
    const stream = { ...output.stream, columns }
    const progress = createProgress({ ...output, stream, label: 'training', total: 200 })
    for (let done = 0; done <= 10; done++, clock.at += 200) progress.update(done, 'x'.repeat(100))
    const shown = written.at(-1)!.replace('\r', '').replace('\x1b[K', '')
    expect(shown).toMatch(/^training {2}.*5 %.*…$/)
    expect(measureWidth(shown)).toBe(79)
    expect(written.every((text) => !text.includes('\n'))).toBe(true)
  })
  it('shortens the bar before the figures, and drops it where it would be too short', () => {
    const showAt = (columns: number): string => {
      const { written, clock, ...output } = surroundings(true)
      const stream = { ...output.stream, columns }
      const progress = createProgress({ ...output, stream, label: 'training', total: 32 })
      for (let done = 0; done <= 16; done++, clock.at += 1000)
        progress.update(done, `step ${done}/32  loss 0.123`)
      return written.at(-1)!.replace('\r', '').replace('\x1b[K', '')
    }
    expect(showAt(120)).toBe(`training  ${drawBar(0.5)}  50 %  step 16/32  loss 0.123  16 s left`)
    expect(showAt(66)).toBe(
      `training  ${drawBar(0.5, 14)}  50 %  step 16/32  loss 0.123  16 s left`,
    )
    expect(showAt(56)).toBe('training   50 %  step 16/32  loss 0.123  16 s left')
  })
  it('draws no bar in a log', () => {
    const { written, ...output } = surroundings(false)
    createProgress({ ...output, label: 'answers, base', total: 4 }).update(1)
    expect(written).toEqual(['answers, base  25 %\n'])
  })
  it('draws bars from empty to full', () =>
    expect([-1, 0, 0.5, 1, 2].map((share) => drawBar(share, 4))).toEqual([
      '░░░░',
      '░░░░',
      '██░░',
      '████',
      '████',
    ]))
})

describe('colours', () => {
  it('only on a terminal that wants them', () => {
    expect(shouldColour({ isTTY: true }, {})).toBe(true)
    expect([
      shouldColour({ isTTY: false }, {}),
      shouldColour({ isTTY: true }, { NO_COLOR: '1' }),
      shouldColour({ isTTY: true }, { TERM: 'dumb' }),
    ]).toEqual([false, false, false])
    expect(createStyle({ isTTY: true }, {}).good('yes')).toContain('\x1b[')
    expect(createStyle({ isTTY: false }, {}).good('yes')).toBe('yes')
  })
})

describe('the terminal', () => {
  it('wraps to a known width only, and never takes a width of 0', () => {
    const widths = [0, undefined, 60].flatMap((columns) =>
      [true, false].map((isTTY) => {
        const stream = { write: () => true, isTTY, columns }
        const { columns: all, wrapColumns } = createTerminal({
          stdout: stream,
          stderr: stream,
          environment: {},
          json: false,
          graft: 'graft',
          now: () => 0,
        })
        expect(wrapColumns).toBe(getWrapColumns(stream))
        return [all, wrapColumns]
      }),
    )
    expect(widths).toEqual([
      [80, undefined],
      [80, undefined],
      [80, undefined],
      [80, undefined],
      [60, 60],
      [60, undefined],
    ])
  })
  it('keeps stdout for the one value under --json', () => {
    const out = surroundings(false)
    const err = surroundings(false)
    const terminal = createTerminal({
      stdout: out.stream,
      stderr: err.stream,
      environment: {},
      json: true,
      graft: 'graft',
      now: () => 0,
    })
    terminal.print('result')
    terminal.write('piece')
    terminal.say('report')
    terminal.note('warning')
    expect(out.written).toEqual([])
    expect(err.written).toEqual(['report\n', 'warning\n'])
  })
})
