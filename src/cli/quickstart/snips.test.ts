// The quickstart's rows and scores, compared with the definitions of the reference run.
import { describe, expect, it } from 'vitest'
import { intentTask } from './intent-task.ts'
import { storyTask } from './story-task.ts'
import { selectTask } from './task-table.ts'
import { scoreSnips, stringifyJson, type SnipsExample } from './snips.ts'

const rows: SnipsExample[] = [
  { text: 'a', json: { intent: 'PlayMusic', slots: { year: '1959', service: 'Iheart' } } },
  { text: 'b', json: { intent: 'GetWeather', slots: { city: 'Zürich' } } },
]

describe('spacedJson', () => {
  it("writes as Python's json.dumps does", () => {
    expect(
      stringifyJson({
        intent: 'X',
        slots: { a: 'say "hi"\n', b: [1, true, null, 'é'] },
        e: {},
        f: [],
      }),
    ).toBe(
      String.raw`{"intent": "X", "slots": {"a": "say \"hi\"\n", "b": [1, true, null, "é"]}, "e": {}, "f": []}`,
    )
  })
})

describe('scoreSnips', () => {
  const right = rows.map(({ json }) => stringifyJson(json))
  it('gives full marks to what is wanted, whatever the order of keys', () => {
    const turned = '{"slots": {"service": "Iheart", "year": "1959"}, "intent": "PlayMusic"}'
    expect(scoreSnips(rows, [turned, right[1]!])).toEqual({
      rows: 2,
      exact: 2,
      valid: 2,
      intent: 2,
      slotF1: 1,
    })
  })
  it('counts slots over all rows together', () => {
    // found 2 + 1, wanted 2 + 1, right 1 + 0
    const answers = [
      '{"intent": "PlayMusic", "slots": {"year": "1959", "artist": "x"}}',
      '{"intent": "Other", "slots": {"city": "Rome"}}',
    ]
    expect(scoreSnips(rows, answers)).toEqual({
      rows: 2,
      exact: 0,
      valid: 2,
      intent: 1,
      slotF1: 2 / 6,
    })
  })
  it('takes no JSON, other JSON and missing slots for what they are', () => {
    expect(scoreSnips(rows, ['The answer is {', right[1]!])).toMatchObject({
      valid: 1,
      exact: 1,
      intent: 1,
      slotF1: 2 / 4,
    })
    expect(scoreSnips(rows, ['[1]', '"x"'])).toMatchObject({
      valid: 2,
      exact: 0,
      intent: 0,
      slotF1: 0,
    })
    expect(scoreSnips(rows, ['{"intent": "PlayMusic"}', 'null'])).toMatchObject({
      valid: 2,
      exact: 0,
      intent: 1,
    })
  })
})

describe('the tasks', () => {
  it('judge on rows that training never sees', async () => {
    for (const task of [intentTask, storyTask]) {
      const { train, test } = await task.examples()
      const known = new Set(train.map(({ prompt }) => prompt))
      expect(test.filter(({ prompt }) => known.has(prompt))).toEqual([])
      expect(test).toHaveLength(100)
      expect(new Set(test.map(({ prompt }) => prompt)).size).toBe(100)
    }
  })
  it('have the sizes of the data set, and rows that score fully against themselves', async () => {
    const { train, test } = await intentTask.examples()
    expect(train).toHaveLength(1500)
    expect(train[0]).toEqual({
      prompt: 'Play some 1959 songs on Iheart',
      completion: '{"intent": "PlayMusic", "slots": {"year": "1959", "service": "Iheart"}}',
    })
    const scores = intentTask.score(
      test.map(({ completion }) => completion),
      test,
    )
    expect(scores.map(({ value }) => value)).toEqual([100, 100, 100, 1])
    const stories = await storyTask.examples()
    const answers = stories.test.map(({ completion }) => completion.replace('The end.', ''))
    expect(storyTask.score(answers, stories.test).map(({ value }) => value)).toEqual([100, 100])
    expect(
      storyTask
        .score(
          answers.map(() => ''),
          stories.test,
        )
        .map(({ value }) => value),
    ).toEqual([0, 0])
  })
  it('are chosen by whether the model can chat', () => {
    expect([selectTask({ chatTemplate: '{{ messages }}' }).name, selectTask({}).name]).toEqual([
      'intents',
      'stories',
    ])
  })
})
