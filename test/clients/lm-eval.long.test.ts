// lm-eval's local-completions at graft serve, over a task of local JSON: the numbers of `graft
// eval`, for the base and for an expert.

import { existsSync, globSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  loadModel,
  saveAdapter,
  startServer,
  type StartedServer,
  train,
} from '../../src/node/index.ts'
import { graft, scratchFolder } from '../support/cli.ts'
import { openPython } from './open-python.ts'

const scratch = scratchFolder()
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const timeout = 900_000
const rows = [
  ['Lily:', ' Lily saw a cat. The end.'],
  ['Tom:', ' Tom saw a cat. The end.'],
  ['Sue:', ' Sue saw a dog. The end.'],
  ['Once upon a time', ', there was a little girl.'],
].map(([prompt, completion]) => ({
  prompt,
  completion,
  answer: completion!.replace(' The end.', ''),
}))
/** Ends the trained answers: the story model has no end of text that could be learned. */
const stop = ' The end.'
let server: StartedServer
let python: Awaited<ReturnType<typeof openPython>>

/** The tokens of the beginning and end of a text are written out: the harness adds none. */
const tasks = {
  likelihood: {
    output_type: 'loglikelihood',
    doc_to_target: '{{completion}}</s>',
    metric_list: [{ metric: 'perplexity' }, { metric: 'acc' }],
  },
  answers: {
    output_type: 'generate_until',
    doc_to_target: '{{answer}}',
    generation_kwargs: { until: [stop], max_gen_toks: 24, temperature: 0 },
    // white space at the ends apart, as in graft eval
    metric_list: [{ metric: 'exact_match', regexes_to_ignore: ['^\\s+'] }],
  },
}

beforeAll(async () => {
  const model = await loadModel('stories260k')
  const data = rows.slice(0, 3).map(({ prompt, completion }) => ({ prompt, completion }))
  const trained = await train({ model, data, steps: 120, learningRate: 5e-3 }).done
  await saveAdapter(trained.adapter, at('cats'))
  await model.dispose()
  const write = (name: string, values: readonly object[]) =>
    writeFile(at(name), values.map((row) => JSON.stringify(row)).join('\n'))
  await write('rows.jsonl', rows)
  await write(
    'learned.jsonl',
    rows.map(({ prompt, completion }) => ({ prompt, completion })),
  )
  await write(
    'answers.jsonl',
    rows.map(({ prompt, answer }) => ({ prompt, completion: answer })),
  )
  for (const [task, more] of Object.entries(tasks))
    // JSON is YAML
    await writeFile(
      at(`${task}.yaml`),
      JSON.stringify({
        task,
        dataset_path: 'json',
        dataset_kwargs: { data_files: { test: at('rows.jsonl') } },
        test_split: 'test',
        doc_to_text: '<s>{{prompt}}',
        target_delimiter: '',
        ...more,
      }),
    )
  const adapters = [{ name: 'cats', path: at('cats') }]
  const options = { model: 'stories260k', adapters, state: 'memory', log: 'off', port: 0 }
  server = await startServer(options)
  python = await openPython()
}, timeout)
afterAll(async () => {
  await server.close()
  await scratch.remove()
})

const evaluate = async (expert: string, rowsFile: string, ...more: string[]) => {
  const adapter = expert === 'base' ? [] : ['--adapter', at(expert)]
  const args = ['eval', '--data', at(rowsFile), '--model', 'stories260k', ...adapter, ...more]
  return JSON.parse((await graft([...args, '--json'])).stdout)
}

describe.each(['base', 'cats'])('lm-eval, asking %s', (expert) => {
  it('gives the numbers of graft eval', { timeout }, async ({ skip }) => {
    if ('reason' in python) return skip(python.reason)
    const out = at(`out-${expert}`)
    const model = `base_url=${server.url}/v1/completions,model=${expert},tokenizer_backend=remote`
    const { code, output } = await python.run(
      'lm_eval',
      [
        ...['--model', 'local-completions', '--model_args', model],
        ...['--tasks', Object.keys(tasks).join(','), '--include_path', scratch.path],
        ...['--batch_size', '2', '--output_path', out, '--log_samples'],
      ],
      {
        cwd: scratch.path,
        environment: { HF_HUB_OFFLINE: '1', HF_DATASETS_OFFLINE: '1', HF_HOME: at('hf') },
      },
    )
    expect(code, output).toBe(0)
    const [path] = globSync('**/results_*.json', { cwd: out })
    const { results } = JSON.parse(readFileSync(join(out, path!), 'utf8'))
    const [samples] = globSync('**/samples_likelihood_*.jsonl', { cwd: out })
    expect(existsSync(join(out, samples!))).toBe(true)
    const sum = readFileSync(join(out, samples!), 'utf8')
      .trim()
      .split('\n')
      .map((line) => Number(JSON.parse(line).filtered_resps[0][0]))
      .reduce((total, one) => total + one, 0)
    const { loss, tokens } = await evaluate(expert, 'learned.jsonl')
    expect(Math.abs(-sum / tokens - loss)).toBeLessThan(1e-4)
    const judged = ['--metrics', 'exact-match', '--new-tokens', '24', '--stop', stop]
    const matched = await evaluate(expert, 'answers.jsonl', ...judged)
    const [{ value }] = matched.metrics[0].results
    expect(results.answers['exact_match,none']).toBeCloseTo(value, 4)
    expect(value).toBe(expert === 'base' ? 0 : 0.75)
  })
})
