// The metric tests-pass, and what programs in its sandbox cannot do.
import { afterAll, describe, expect, it } from 'vitest'
import { metricContract } from '../../eval/metric.contract.ts'
import { createProgramRunner } from './program-runner.ts'
import { createTestsPass, extractCode } from './tests-pass.ts'

const wanted = 'const add = (a: number, b: number): number => a + b'
const test = `import * as assert from 'assert'
assert.deepEqual(add(1, 2), 3, 'first')
assert.deepEqual([add(2, 2)], [4])`
const row = { test }

const metric = createTestsPass()
const runner = createProgramRunner(8000)
afterAll(() => {
  metric.dispose?.()
  runner.dispose()
})
const score = async (answer: string): Promise<number> =>
  (await metric.score({ row, wanted, answer })).value
const run = (source: string) => runner.run({ source })

describe('tests-pass', () => {
  metricContract(metric, { row, wanted })

  it.each([
    ['another right program', 'function add(x, y) { return y + x }', 1],
    ['TypeScript that is more than types', `enum One { Two }\n${wanted}`, 1],
    ['a program in a Markdown fence', `Here:\n\`\`\`ts\n${wanted}\n\`\`\`\nDone.`, 1],
    ['a fence that was cut off', `\`\`\`typescript\n${wanted}`, 1],
    ['a wrong result', 'const add = (a, b) => a - b', 0],
    ['a name that is not there', 'const plus = (a, b) => a + b', 0],
    ['no code', 'I cannot do that.', 0],
    ['code that throws', `${wanted}; throw new Error('x')`, 0],
    ['code that never ends its module', `${wanted}; await new Promise(() => {})`, 0],
    ['code that comments its tests out', `${wanted} /*`, 0],
    [
      'code that replaces what assert stands on',
      `const add = () => 0; Object.is = () => true; Object.keys = () => []; JSON.stringify = () => ''`,
      0,
    ],
  ])('of %s', async (_, answer, expected) => expect(await score(answer)).toBe(expected))

  it.each([
    ['Array', 'Array.prototype.every = Array.prototype.some = () => true'],
    ['Set', 'Set.prototype.has = Map.prototype.has = () => true'],
    ['RegExp', "RegExp.prototype.test = () => true; RegExp.prototype.exec = () => ['']"],
    [
      'Date',
      'Object.defineProperty(Date, Symbol.hasInstance, { value: () => true }); globalThis.String = () => 0; Array.prototype.valueOf = () => 1',
    ],
    ['String', "globalThis.String = () => ''"],
    ['its copy of assert', "import other from 'assert'; Object.assign(other, { deepEqual() {} })"],
    [
      'a property of assert',
      "import other from 'assert'; try { other.deepEqual = () => {} } catch {}",
    ],
  ])('gives 0 for a wrong answer that replaces %s', async (_, trick) => {
    const answer = `${trick};
const f = (x) => x === 0 ? [9] : x === 1 ? new Set([9]) : x === 2 ? new Date(9) : /9/`
    const tests = [
      'assert.deepEqual([f(0)], [[1]])',
      'assert.deepEqual(f(1), new Set([1]))',
      'assert.deepEqual(f(2), new Date(1))',
      'assert.deepEqual(f(3), /1/)',
      "assert.throws(() => { throw new Error('a') }, /b/)",
      "assert.match('a', /b/)",
    ]
    for (const one of tests) {
      const tested = { test: `import assert from 'assert'\n${one}` }
      const { value } = await metric.score({ row: tested, wanted, answer })
      expect([one, value]).toEqual([one, 0])
    }
  })

  it.each([
    'if (false)',
    'while (false)',
    'if (true) {} else',
    'const skip = () =>',
    'false &&',
    'const text = `',
    '/*',
    'void',
    'const f = () => () => {}; f',
  ])('gives 0 for a wrong answer whose end takes in the tests: %s', async (end) => {
    const tested = { test: `(() => { if (add(1, 2) !== 3) throw new Error('x') })() // \` */` }
    const answer = `const add = (a, b) => a - b; ${end}`
    expect((await metric.score({ row: tested, wanted, answer })).value).toBe(0)
  })

  it('compares dates, patterns, sets and maps by what is in them', async () => {
    const same = ['new Date(5)', '/a/gi', 'new Set([1, [2]])', "new Map([['a', { b: [1] }]])"]
    const different = ['new Date(6)', '/a/g', 'new Set([1, [3]])', "new Map([['a', { b: [2] }]])"]
    const lines = same.flatMap((one, i) => [
      `assert.deepStrictEqual(${one}, ${one})`,
      `assert.notDeepEqual(${one}, ${different[i]})`,
      `assert.notDeepEqual(${one}, {})`,
      `assert.notDeepEqual({}, ${one})`,
    ])
    const thrown = [
      '/x is/',
      'TypeError',
      "{ message: 'x is 1' }",
      '{ message: /1/ }',
      '(e) => true',
    ]
    for (const one of thrown)
      lines.push(`assert.throws(() => { throw new TypeError('x is 1') }, ${one})`)
    const source = `import assert from 'assert'\n${lines.join('\n')}`
    expect(await run(source)).toEqual({ passed: true })
  })

  it("puts the row's head before the answer, as rows of MXEval have it", async () => {
    const answer = '  return a + b\n}'
    const before = 'const add = function (a: number, b: number): number {\n'
    expect((await metric.score({ row: { before, test }, wanted: '', answer })).value).toBe(1)
  })

  it('reports which rows it cannot judge', () => {
    expect(metric.findProblem!({ row: {}, wanted })).toContain('no "test"')
  })

  it('takes the first fence of an answer', () => {
    expect(extractCode('a\n```js\nb\n```\nc\n```js\nd\n```')).toBe('b\n')
  })
})

describe('the sandbox', () => {
  it.each([
    ['files', "import { writeFileSync } from 'node:fs'", /"node:fs" is not in the sandbox/],
    ['files, later', "await import('fs')", /"fs" is not in the sandbox/],
    ['the process', 'process.exit(0)', /process is not defined|'process' is not defined/],
    ['the network', "await fetch('http://127.0.0.1')", /fetch/],
    ['timers', 'setTimeout(() => {}, 1e9)', /setTimeout/],
    ['require', "require('fs')", /require/],
    [
      "the host's functions, through a constructor",
      "(() => {}).constructor('return process')()",
      /process/,
    ],
  ])('has no %s', async (_, source, message) => {
    expect(await run(source)).toEqual({ error: expect.stringMatching(message) as string })
  })

  it('ends loops, and answers the next program', async () => {
    expect(await run('for (;;);')).toEqual({ error: 'took longer than 3 s' })
    expect(await run('1 + 1')).toEqual({ passed: true })
  }, 20_000)

  it.each([
    ['memory', "const all = []; for (;;) all.push('x'.repeat(1e6) + all.length)"],
    ['the stack', 'const f = () => f() + 1; f()'],
    ['one huge array', 'new Array(2 ** 31).fill(0)'],
    ['a pattern that backtracks', "/^(a+)+$/.test('a'.repeat(40) + 'b'); throw new Error('ended')"],
    [
      'memory that QuickJS does not count',
      'const all = []; for (;;) all.push(new ArrayBuffer(1e6))',
    ],
    ['the parser', `let x = ${'('.repeat(50_000)}1${')'.repeat(50_000)}`],
    ['the parser, with operators', `let x = ${'1+'.repeat(100_000)}1`],
    ['the report', 'throw new Proxy({}, { get() { for (;;); }, ownKeys() { for (;;); } })'],
    ['promises that follow each other', 'const f = () => Promise.resolve().then(f); await f()'],
  ])(
    'stops what takes all of %s, and answers the next program',
    async (_, source) => {
      expect(await run(source)).toEqual({ error: expect.any(String) as string })
      expect(await run('1 + 1')).toEqual({ passed: true })
    },
    20_000,
  )

  it('keeps nothing from one program to the next', async () => {
    await run('globalThis.kept = 1; Array.prototype.map = () => 7')
    expect(await run("if ('kept' in globalThis || [1].map(() => 2)[0] !== 2) throw 1")).toEqual({
      passed: true,
    })
  })

  it('describes whatever is thrown as a text', async () => {
    const source = `throw { name: 'x', message: { toString: 1 } }`
    expect(await run(source)).toEqual({ error: expect.any(String) as string })
  })
})
