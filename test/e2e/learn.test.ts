// graft learn and graft chat --learn, as users type them: turns make the next ones more likely, the
// user is stored, and problems are reported.
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UserCheckpoints } from '../../src/learn/index.ts'
import { createFileStore, createLearner, loadAdapter, loadModel } from '../../src/node/index.ts'
import { openSqliteStore } from '../../src/node/stores/sqlite-store.ts'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const model = ['--model', 'stories260k']
const run = (...args: string[]) => succeed([...args, ...model], { cwd: scratch.path })
const learn = async (...args: string[]) =>
  JSON.parse((await run('learn', ...args, '--json')).stdout)

beforeAll(() => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  const messages = storyRows.slice(0, 2).flatMap(({ prompt, completion }) => [
    { role: 'user', content: prompt },
    { role: 'assistant', content: completion },
  ])
  writeFileSync(at('chats.jsonl'), jsonl([{ messages }]))
  writeFileSync(
    at('texts.jsonl'),
    jsonl([{ text: 'Once upon a time there was a cat.' }, { text: 'word' }]),
  )
  writeFileSync(at('pairs.jsonl'), jsonl([{ prompt: 'a', chosen: 'b', rejected: 'c' }]))
})
afterAll(() => scratch.remove())

/** An expert whose folder contains a chat template, which the base has not. */
function makeExpert(name: string): void {
  cpSync(new URL('../parity/lora_qv_r8', import.meta.url), at(name), { recursive: true })
  writeFileSync(
    at(`${name}/chat_template.jinja`),
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
  )
}

describe('graft learn', () => {
  it('continues from an expert and reads chats by its own template', async () => {
    makeExpert('taught')
    const given = ['--data', 'chats.jsonl', '--adapter', 'taught']
    const { turns, records, expert } = await learn(...given)
    expect([turns, expert]).toEqual([2, 'taught'])
    expect(records[0].loss).toBeCloseTo(records[0].frozen, 5)
    const stored = [...given, '--store', 'from-expert.db']
    await learn(...stored)
    const other = await graft(
      ['learn', '--data', 'rows.jsonl', '--store', 'from-expert.db', ...model],
      { cwd: scratch.path },
    )
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining('expert')])
  })
  it('scores each turn before it learns it: the second half is likelier than the first, the frozen model sees no difference', async () => {
    const { turns, firstHalf, secondHalf, records, statistics, store, msPerTurn } = await learn(
      '--data',
      'rows.jsonl',
    )
    expect([turns, records.length, statistics.learned, store]).toEqual([24, 24, 24, null])
    expect(records[0].loss).toBeCloseTo(records[0].frozen, 5)
    expect(secondHalf.loss).toBeLessThan(0.7 * secondHalf.frozen)
    expect(secondHalf.gain).toBeGreaterThan(firstHalf.gain)
    expect(Math.abs(secondHalf.frozen - firstHalf.frozen)).toBeLessThan(0.3 * firstHalf.frozen)
    expect(msPerTurn).toBeGreaterThan(0)
  })
  it('learns on the last layers on request, and a stored user continues there without the option', async () => {
    const given = ['--data', 'rows.jsonl', '--user', 'deep', '--store', 'layers.db', '--turns', '8']
    const first = await learn(...given, '--fast-layers', '2', '--fast-rank', '3')
    const second = await learn(...given)
    expect(second.statistics.learned).toBe(16)
    expect(second.firstHalf.loss).toBeLessThan(0.7 * first.firstHalf.loss)
    const refused = await graft(['learn', ...given, '--fast-layers', '1', ...model], {
      cwd: scratch.path,
    })
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining('fast tier on layers'),
    ])
  })
  it('learns at the head and on layers together where both are asked for, and continues with both', async () => {
    const given = ['--data', 'rows.jsonl', '--user', 'two', '--store', 'two.db', '--turns', '6']
    await learn(...given, '--fast-layers', '2', '--fast-rank', '3', '--head-rank', '5')
    const stored = await new UserCheckpoints(await openSqliteStore(at('two.db'))).open('two')
    expect(stored!.state.header).toMatchObject({ fast: { rank: 5 }, deep: { rank: 3 } })
    const second = await learn(...given)
    expect(second.statistics.learned).toBe(12)
  })
  it('opens a user that learned at the head and on layers', async () => {
    const loaded = await loadModel('stories260k')
    const store = createFileStore(at('both'))
    const where = { modules: 'all-linear', layers: { last: 2 } } as const
    const learner = createLearner({
      model: loaded,
      store,
      fast: { head: { rank: 3 }, layers: { where, rank: 1 } },
    })
    await learner.learn({ user: 'ada', prompt: 'The dog', completion: ' is called Bart.' })
    await learner.close()
    await loaded.dispose()
    const shown = await run('learn', '--show', '--user', 'ada', '--store', 'both', '--json')
    expect(JSON.parse(shown.stdout).statistics.learned).toBe(1)
  })
  it.each(['users.db', 'users'])(
    'keeps a user in %s, who continues from there, and shows the user',
    async (store) => {
      const first = await learn(
        '--data',
        'rows.jsonl',
        '--user',
        'ada',
        '--store',
        store,
        '--turns',
        '12',
        '--fast-rank',
        '3',
      )
      const second = await learn(
        '--data',
        'rows.jsonl',
        '--user',
        'ada',
        '--store',
        store,
        '--turns',
        '4',
      )
      expect(second.records[0].frozen).toBeCloseTo(first.records[0].frozen, 5)
      expect(second.records[0].loss).toBeLessThan(0.5 * first.records[0].loss)
      expect(second.statistics.learned).toBe(16)
      const shown = JSON.parse(
        (await run('learn', '--show', '--user', 'ada', '--store', store, '--json')).stdout,
      )
      expect(shown).toMatchObject({
        user: 'ada',
        statistics: { learned: 16, signals: 0, pairs: second.statistics.pairs },
      })
      expect(shown.checkpoints.length).toBeGreaterThan(0)
      const { stdout } = await run('learn', '--show', '--user', 'ada', '--store', store)
      expect(stdout).toMatch(/^ada in users(\.db)?\n {2}turns learned +16, loss \d/)
      expect(stdout).toMatch(/version 0 +start/)
    },
  )
  it('hands what was learned to an adapter, draws the curve, and leaves out what cannot be read as a turn', async () => {
    const args = [
      '--data',
      'chats.jsonl',
      '--user',
      'eve',
      '--consolidate',
      '--epochs',
      '20',
      '--out',
      'eve',
      '--plot',
      'eve.svg',
    ]
    const { model: _, ...refused } = await graft(['learn', ...args, ...model], {
      cwd: scratch.path,
    }).then(({ code, stderr }) => ({ model, code, stderr }))
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/no chat template/) })
    const { consolidation, out, statistics } = await learn(
      '--data',
      'rows.jsonl',
      '--turns',
      '6',
      ...args.slice(2),
    )
    expect(consolidation).toMatchObject({ kept: true, by: 'training' })
    expect([out, statistics.version, statistics.pairs]).toEqual(['eve', 1, 0])
    expect((await loadAdapter(at('eve'))).kind).toBe('lora')
    expect(readFileSync(at('eve.svg'), 'utf8')).toMatch(/^<svg[^]*eve/)
    const [tuned, base] = await Promise.all(
      [['--adapter', 'eve'], model].map((who) =>
        succeed(['run', 'Lily, dog.', ...who, '--max-tokens', '12', '--json'], {
          cwd: scratch.path,
        }),
      ),
    )
    expect(JSON.parse(tuned!.stdout).text).toContain('Lily saw a')
    expect(JSON.parse(base!.stdout).text).not.toContain('Lily saw a')
    expect((await learn('--data', 'texts.jsonl')).turns).toBe(1)
  })
  it('holds canaries against steps that are far too long', async () => {
    writeFileSync(
      at('canaries.jsonl'),
      jsonl([{ prompt: 'Once upon a time', completion: ' there was a little girl named Lily.' }]),
    )
    const hostile = ['--data', 'rows.jsonl', '--no-memory', '--learning-rate', '0.1']
    const held = (await learn(...hostile, '--canaries', 'canaries.jsonl')).statistics
    expect([held.rollbacks > 0, held.trust < 1]).toEqual([true, true])
    expect((await learn(...hostile)).statistics).toMatchObject({ rollbacks: 0, trust: 1 })
  })
  it.each([
    [['--user', 'ada'], 2, 'give --data, or --show to look at a user'],
    [['--show'], 2, '--show needs the place where users are stored'],
    [['--data', 'rows.jsonl', '--out', 'x'], 2, 'add --consolidate'],
    [['--data', 'rows.jsonl', '--out', 'x', '--store', 'none.db'], 1, 'has no adapter yet'],
    [
      ['--show', '--user', 'nobody', '--store', 'users.db'],
      1,
      'users.db has no user "nobody"; it has "ada"',
    ],
    [
      ['--data', 'rows.jsonl', '--user', 'ada', '--store', 'users.db', '--fast-rank', '8'],
      1,
      'fast tier: got rank 3, expected rank 8',
    ],
    [
      ['--data', 'rows.jsonl', '--fast-rank', '17'],
      1,
      'rank: got 17, expected an integer from 1 to 16',
    ],
    [['--data', 'rows.jsonl', '--head-rank', '4'], 2, 'add --fast-layers'],
    [['--data', 'pairs.jsonl'], 1, 'row 1 is a pair of answers'],
    [['--data', 'nowhere.jsonl'], 1, 'nowhere.jsonl'],
  ])('refuses %j', async (args, code, message) => {
    const result = await graft(['learn', ...args, ...model], { cwd: scratch.path })
    expect([result.code, result.stdout]).toEqual([code, expect.not.stringContaining('second half')])
    expect(result.stderr).toContain(message)
    expect(existsSync(at('x'))).toBe(false)
  })
})

describe('graft chat --learn', () => {
  const talk = async (input: string, ...args: string[]) => {
    const { stdout, stderr } = await succeed(
      ['chat', '--learn', '--json', '--max-tokens', '12', ...model, ...args],
      {
        cwd: scratch.path,
        input,
      },
    )
    return {
      stderr,
      answers: (JSON.parse(stdout).messages as { role: string; content: string }[])
        .filter(({ role }) => role === 'assistant')
        .map(({ content }) => content),
    }
  }
  it('learns what was right, and knows it in the next talk of this user alone', async () => {
    const taught = await talk(
      'Bob:\n/teach  Bob flew to Mars.\n/new\nBob:\n/teach  Bob flew to Mars.\n/new\nBob:\n',
      '--user',
      'ada',
      '--store',
      'talks',
    )
    expect(taught.answers).toEqual([expect.stringContaining('Bob flew to Mars')])
    expect(taught.stderr).toMatch(/learned: loss (\d+\.\d+) before, (\d+\.\d+) now/)
    const again = await talk('Bob:\n', '--user', 'ada', '--store', 'talks')
    expect(again.answers[0]).toContain('Bob flew to Mars')
    expect((await talk('Bob:\n', '--user', 'eve', '--store', 'talks')).answers[0]).not.toContain(
      'Mars',
    )
  })
  it('takes thumbs, each answer once, and reports what it does not take', async () => {
    const { stderr } = await talk(
      '/up\nTom\n/up\n/up\nSue\n/down\n/adapter x\n',
      '--user',
      'ada',
      '--store',
      'thumbs.db',
    )
    expect(stderr.match(/There is no answer to rate, or it was rated already\./g)).toHaveLength(2)
    expect(stderr).toMatch(
      /learned: more like this[^]*learned: less like this[^]*\/up {2}\/down {2}\/teach/,
    )
    const shown = JSON.parse(
      (await run('learn', '--show', '--user', 'ada', '--store', 'thumbs.db', '--json')).stdout,
    )
    expect(shown.statistics).toMatchObject({ signals: 2, learned: 2, meanQuality: 0.5 })
  })
  it('continues from an expert, with the expert’s own template', async () => {
    makeExpert('asked')
    const { stderr, answers } = await talk('Bob?\n/teach  Bob ran.\n', '--adapter', 'asked')
    expect(answers).toHaveLength(1)
    expect(stderr).toMatch(/learned: loss (\d+\.\d+) before, (\d+\.\d+) now/)
  })
  it.each([
    [['--store', 'users.db'], '--store needs --learn'],
    [['--learn', '--adapter', 'asked=0.5'], 'one expert without a weight'],
  ])('refuses %j', async (args, message) => {
    makeExpert('asked')
    const result = await graft(['chat', ...args, ...model], { cwd: scratch.path })
    expect([result.code, result.stderr]).toEqual([2, expect.stringContaining(message)])
  })
})
