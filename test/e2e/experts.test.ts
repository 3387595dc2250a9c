// graft experts, as users type it: an expert is kept, found, asked, signed, exported, removed.
import { appendFileSync, cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createKeyPair } from '../../src/registry/signing/ecdsa.ts'
import { graft, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const environment = { GRAFT_REGISTRY: at('registry') }
const options = { cwd: scratch.path, environment }
const run = async (...args: string[]) => (await succeed(args, options)).stdout
const fail = async (...args: string[]) => {
  const { code, stderr } = await graft(args, options)
  expect(code).not.toBe(0)
  return stderr
}

beforeAll(async () => {
  const source = new URL('../parity/lora_qv_r8', import.meta.url)
  cpSync(source, at('tales'), { recursive: true })
  writeFileSync(
    at('tales/expert.json'),
    JSON.stringify({
      layout: 1,
      id: 'tales',
      version: '1.0.0',
      kind: 'lora',
      base: { id: 'stories260k' },
      description: 'Tells tales',
    }),
  )
  const { privatePem, publicPem } = await createKeyPair()
  writeFileSync(at('key.pem'), privatePem)
  writeFileSync(at('key.pub'), publicPem)
})
afterAll(() => scratch.remove())

it('keeps an expert, finds it and answers with it', async () => {
  expect(await run('experts', 'list')).toContain('The registry is empty')
  mkdirSync(at('tales/checkpoints'))
  writeFileSync(at('tales/checkpoints/state'), 'of a run')
  const added = await succeed(['experts', 'add', 'tales', '--channel', 'stable'], options)
  expect(added.stderr).toContain('checkpoints is left out')
  rmSync(at('tales/checkpoints'), { recursive: true })
  expect(await run('experts', 'list')).toMatch(/tales +1\.0\.0 +stable +lora +stories260k/)
  const [found] = JSON.parse(await run('experts', 'search', 'TELLS', '--json'))
  expect([found.id, found.manifest.description]).toEqual(['tales', 'Tells tales'])
  expect(await run('experts', 'show', 'tales@stable')).toContain(`sha256:${found.sha256}`)
  const asked = ['run', 'Once', '--model', 'stories260k', '--max-tokens', '6']
  const byName = await run(...asked, '--adapter', 'tales@^1')
  expect(byName).toBe(await run(...asked, '--adapter', at('tales')))
  expect(byName).not.toBe(await run(...asked))
  expect(await fail(...asked, '--adapter', 'tales@^2')).toContain('its versions are 1.0.0')
  const question = ['experts', 'search', 'stories for children', '--meaning', '--model']
  expect(await run(...question, 'stories260k')).toMatch(/tales +1\.0\.0/)
  expect(await fail('experts', 'search', '--meaning')).toContain('needs a question')
  expect(await fail('experts', 'search', 'a', '--model', 'b')).toContain('give --meaning too')
  expect(await fail('experts', 'show', 'tals')).toContain('Did you mean "tales"?')
}, 300_000)

it('adds a released expert by its name, which graft improve needs', async () => {
  const own = { cwd: scratch.path, environment: { GRAFT_REGISTRY: at('of-released') } }
  const { code, stderr } = await graft(['improve', 'style'], own)
  expect([code, stderr]).toEqual([1, expect.stringContaining('graft experts add style --channel')])
  const added = await succeed(['experts', 'add', 'style', '--channel', 'stable'], own)
  expect(added.stdout).toContain('style@1.0.0 is in')
}, 60_000)

/** The texts of the expert that --adapter names, and of the version that a reference finds. */
async function askBoth(url: string): Promise<string[]> {
  const ask = async (model: string): Promise<string> => {
    const body = JSON.stringify({ model, prompt: 'Once', max_tokens: 6, temperature: 0 })
    const response = await fetch(`${url}/completions`, { method: 'POST', body })
    const answer = (await response.json()) as { choices: { text: string }[] }
    return answer.choices[0]!.text
  }
  return [await ask('tales'), await ask('tales@^1')]
}

it('serves an expert of the registry, by the name it was given and by reference', async () => {
  let said = ''
  let answered: Promise<string[]> | undefined
  const serving = graft(['serve', 'stories260k', '--adapter', 'tales@stable', '--port', '0'], {
    cwd: scratch.path,
    environment: { GRAFT_REGISTRY: at('registry'), GRAFT_STATE: at('state') },
    onStart(child) {
      const listen = (chunk: Buffer): void => {
        const wasWhole = said.includes('Ctrl-C')
        said += chunk.toString()
        if (wasWhole || !said.includes('Ctrl-C')) return
        answered = askBoth(/at (http:\S+)/.exec(said)![1]!)
        // once: a second signal ends it at once
        void answered.finally(() => child.kill('SIGTERM'))
      }
      child.stdout!.on('data', listen)
      child.stderr!.on('data', listen)
    },
  })
  expect((await serving).code).toBe(0)
  expect(said).toMatch(/models +stories260k, tales/)
  expect(said).toMatch(/registry +.*registry, 1 expert$/m)
  const [byName, byReference] = await answered!
  expect(byReference).toBe(byName)
}, 300_000)

it('refuses an action, an option and a manifest that are wrong, and keeps nothing of them', async () => {
  expect(await fail('experts', 'ad', 'tales')).toContain('Did you mean "add"?')
  expect(await fail('experts', 'list', '--tag', 'a')).toContain('takes no --tag')
  cpSync(at('tales'), at('wrong'), { recursive: true })
  writeFileSync(at('wrong/expert.json'), '{"layout":1,"id":"a b","colour":"red"}')
  const said = await fail('experts', 'add', 'wrong')
  for (const part of ['no key "colour"', 'id: got "a b"', 'version: is missing'])
    expect(said).toContain(part)
  expect(JSON.parse(await run('experts', 'list', '--json'))).toHaveLength(1)
}, 300_000)

it('signs, verifies and exports; a changed file is found', async () => {
  await run('experts', 'sign', 'tales', '--key', 'key.pem')
  expect(await run('experts', 'verify', 'tales', '--key', 'key.pub')).toContain(
    'signed by a trusted',
  )
  const asked = ['run', 'Once', '--model', 'stories260k', '--max-tokens', '4', '--adapter']
  const signed = await run(...asked, 'tales', '--require-signed', 'key.pub')
  expect(signed).toBe(await run(...asked, 'tales'))
  const unsigned = await fail(...asked, 'tales@1.0.0', '--require-signed', 'key.pub')
  expect(unsigned).toContain('is not signed')
  expect(await fail('run', 'Once', '--require-signed', 'key.pub')).toContain('none is named')
  cpSync(at('tales'), at('changed'), { recursive: true })
  appendFileSync(at('changed/adapter_config.json'), ' ')
  expect(await fail('experts', 'verify', 'changed', '--key', 'key.pub')).toContain('was signed')
  await run('experts', 'add', 'tales', '--name', 'tales', '--version', '1.0.0').catch(
    () => undefined,
  )
  await run('experts', 'export', 'tales@1.0.0', 'out')
  expect(existsSync(at('out/adapter_config.json'))).toBe(true)
  expect(await fail('experts', 'export', 'tales@1.0.0', 'out')).toContain('exists already')
  await run('experts', 'remove', 'tales@1.0.0')
  expect(JSON.parse(await run('experts', 'list', '--json'))).toEqual([])
}, 300_000)
