// Command lines as typed values, and the errors for wrong ones.
import { flag, integer, number, oneOf, string } from '../../base/schema.ts'
import { describe, expect, it } from 'vitest'
import { parseArguments, hasJsonFlag } from './arguments.ts'
import { defineCommand, toOption, type Options, UsageError } from '../command.ts'
import { computeEditDistance, findNearestName } from '../../base/suggest.ts'

const command = defineCommand({
  name: 'probe',
  summary: 'for tests',
  usage: '[word]',
  positionals: [0, 1],
  options: {
    rate: number({ from: 0, default: 0.5, about: 'a number' }),
    steps: integer({ about: 'an integer' }),
    shift: number({ about: 'may be negative' }),
    mode: oneOf(['slow', 'fast'], { about: 'a choice' }),
    out: toOption(string({ about: 'a text' }), { short: 'o' }),
    force: flag({ about: 'a flag' }),
    part: toOption(string({ about: 'several texts' }), { many: true }),
  },
  examples: [],
  run: () => Promise.resolve(undefined),
})
const parse = (...args: string[]) => parseArguments(command, command.options as Options, args)

describe('parseArguments', () => {
  it('gives defaults, numbers, texts and flags', () => {
    const none = {
      steps: undefined,
      shift: undefined,
      mode: undefined,
      out: undefined,
      part: undefined,
    }
    expect(parse().values).toEqual({ ...none, rate: 0.5, force: false })
    expect(
      parse('--rate', '1e-3', '--steps=7', '-o', 'x', '--force', '--mode', 'fast', 'word'),
    ).toMatchObject({
      values: { rate: 0.001, steps: 7, out: 'x', force: true, mode: 'fast' },
      positionals: ['word'],
      json: false,
    })
  })
  it('gives every text of an option that may come several times, and the last of any other', () => {
    expect(parse('--part', 'a=1', '--out', 'x', '--part=b', '--out', 'y').values).toMatchObject({
      part: ['a=1', 'b'],
      out: 'y',
    })
  })
  it('takes negative numbers and texts that begin with a dash when they are attached', () => {
    expect(parse('--shift', '-2').values['shift']).toBe(-2)
    expect(parse('--out=-x').values['out']).toBe('-x')
  })
  it('takes everything behind -- as words', () =>
    expect(parse('--', '--force')).toMatchObject({
      positionals: ['--force'],
      values: { force: false },
    }))
  it('asks nothing else where help is wanted', () =>
    expect(parse('--help', 'a', 'b', 'c').help).toBe(true))
  it.each([
    [['--stpes', '1'], 'there is no option --stpes. Did you mean --steps?'],
    [['--zzzzzz'], 'there is no option --zzzzzz.'],
    [['-q'], 'there is no option -q.'],
    [['--word', 'a'], 'there is no option --word. Write the word without an option: [word].'],
    [['--rate', 'fast'], '--rate: got "fast", expected a number ≥ 0'],
    [['--rate', '-1'], '--rate: got -1, expected a number ≥ 0'],
    [['--rate', ''], '--rate: got "", expected a number ≥ 0'],
    [['--steps', '1.5'], '--steps: got 1.5, expected an integer'],
    [['--steps', 'Infinity'], '--steps: got Infinity, expected an integer'],
    [['--out'], '--out needs a value: --out <text>.'],
    [['--out', '--force'], '--out needs a value: --out <text>.'],
    [['--force=1'], '--force takes no value, got "1".'],
    [['--mode', 'fats'], '--mode: got "fats", expected "slow", "fast". Did you mean "fast"?'],
    [['a', 'b'], 'unexpected argument "b": graft probe [word]'],
  ])('%j', (args, message) => {
    expect(() => parse(...args)).toThrow(UsageError)
    expect(() => parse(...args)).toThrow(message)
  })
})

describe('wantsJson', () => {
  it('looks only at options', () => {
    expect([
      hasJsonFlag(['run', '--json']),
      hasJsonFlag(['run', '--', '--json']),
      hasJsonFlag([]),
    ]).toEqual([true, false, false])
  })
})

describe('nearest', () => {
  it('counts letters that differ, and swapped neighbours once', () => {
    expect([
      computeEditDistance('', 'abc'),
      computeEditDistance('kitten', 'sitting'),
      computeEditDistance('trian', 'train'),
      computeEditDistance('a', 'a'),
    ]).toEqual([3, 3, 1, 0])
  })
  it('finds what was meant, or nothing', () => {
    const names = ['train', 'run', 'inspect', 'quickstart']
    expect([
      findNearestName('trian', names),
      findNearestName('quick', names),
      findNearestName('zebra', names),
      findNearestName('', []),
    ]).toEqual(['train', 'quickstart', undefined, undefined])
  })
})
