// Function calls compared by the rules of the Berkeley Function Calling Leaderboard.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { callMatch, readCalls } from './call-match.ts'

const weather = { name: 'weather', arguments: { city: 'Paris', unit: 'c' } }
const time = { name: 'time', arguments: { zone: 'CET' } }
const wanted = JSON.stringify([weather, time])
const score = (answer: string, row: Readonly<Record<string, unknown>> = {}): number =>
  (callMatch.score({ row, wanted, answer }) as { value: number }).value

describe('call-match', () => {
  it.each([
    ['the calls in another order', JSON.stringify([time, weather]), 1],
    [
      'tags of tool calls',
      `<tool_call>${JSON.stringify(time)}</tool_call>\n<tool_call>${JSON.stringify(weather)}</tool_call>`,
      1,
    ],
    ['a fence', `\`\`\`json\n${wanted}\n\`\`\``, 1],
    ['parameters for arguments', wanted.replaceAll('arguments', 'parameters'), 1],
    [
      "OpenAI's form",
      JSON.stringify(
        [weather, time].map((call) => ({
          type: 'function',
          function: { ...call, arguments: JSON.stringify(call.arguments) },
        })),
      ),
      1,
    ],
    ["BFCL's form", '[{"weather": {"city": "Paris", "unit": "c"}}, {"time": {"zone": "CET"}}]', 1],
    ['texts in another case and with blanks', wanted.replace('Paris', 'PARIS '), 1],
    ['one call alone', JSON.stringify([weather]), 0],
    ['one call twice', JSON.stringify([weather, weather]), 0],
    ['a call too many', JSON.stringify([weather, time, time]), 0],
    ['another value', wanted.replace('Paris', 'Rome'), 0],
    ['a number for a text', wanted.replace('"c"', '1'), 0],
    ['an argument too many', wanted.replace('"unit"', '"x":1,"unit"'), 0],
    ['an argument too few', wanted.replace(',"unit":"c"', ''), 0],
    ['another function', wanted.replace('"time"', '"clock"'), 0],
    ['no JSON', 'weather(city="Paris")', 0],
    ['JSON that is no call', '[1, 2]', 0],
  ])('of %s', (_, answer, expected) => expect(score(answer)).toBe(expected))

  it('accepts any of the listed values, and lets an optional argument out', () => {
    const row = {
      accepts: [{ play: { artist: ['Queen', 'queen band'], minutes: ['', 20], at: [[1, 2]] } }],
    }
    expect(score('[{"play": {"artist": "Queen Band", "at": [1, 2]}}]', row)).toBe(1)
    expect(score('[{"play": {"artist": "Queen", "minutes": 20.0, "at": [1, 2]}}]', row)).toBe(1)
    expect(score('[{"play": {"artist": "Queen", "minutes": 30, "at": [1, 2]}}]', row)).toBe(0)
    expect(score('[{"play": {"artist": "Queen", "at": [2, 1]}}]', row)).toBe(0)
    expect(score('[{"play": {"minutes": 20, "at": [1, 2]}}]', row)).toBe(0)
  })

  it('gives each wanted call one of its own, whichever fits first', () => {
    const row = { accepts: [{ f: { a: [1, 2] } }, { f: { a: [1] } }] }
    expect(score('[{"f": {"a": 1}}, {"f": {"a": 2}}]', row)).toBe(1)
    expect(score('[{"f": {"a": 2}}, {"f": {"a": 2}}]', row)).toBe(0)
  })

  it('counts no call as right where none is wanted', () => {
    expect(score('[]', { accepts: [] })).toBe(1)
    expect(score('I cannot do that.', { accepts: [] })).toBe(0)
    expect(readCalls('[]')).toEqual([])
  })

  it('names rows that it cannot judge', () => {
    expect(callMatch.findProblem!({ row: {}, wanted: 'hello' })).toContain(
      'not a JSON list of calls',
    )
    expect(callMatch.findProblem!({ row: { accepts: [{ f: { a: 1 } }] }, wanted })).toContain(
      '"accepts"',
    )
  })
})

const data = join(import.meta.dirname, '../../../../shared/data/bfcl')
describe.skipIf(!existsSync(data))('rows of BFCL [skip: the data sets are not here]', () => {
  type Answer = Record<string, Record<string, unknown[]>>[]
  it('are right with their first accepted values, and wrong without their first argument', () => {
    const files = readdirSync(data).filter((name) => name.endsWith('.jsonl'))
    let judged = 0
    for (const file of files)
      for (const line of readFileSync(join(data, file), 'utf8').trim().split('\n')) {
        const { id, answer } = JSON.parse(line) as { id: string; answer: Answer }
        const calls = answer.map((call) => {
          const [name, given] = Object.entries(call)[0]!
          const chosen = Object.entries(given)
            .map(([key, values]) => [key, values[0]] as const)
            .filter(([, value]) => value !== '')
          return { name, arguments: Object.fromEntries(chosen) }
        })
        const row = { accepts: answer }
        expect([id, callMatch.findProblem!({ row, wanted: '' })]).toEqual([id, undefined])
        expect([id, score(JSON.stringify(calls), row)]).toEqual([id, 1])
        judged++
      }
    expect(judged).toBeGreaterThan(1000)
  })
})
