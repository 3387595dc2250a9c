// What users install: the packed package in an empty project, from JavaScript and from TypeScript.
// Covers every subpath that package.json exports, so a folder that gets an index.ts is tested from
// then on.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exportsOf } from '../scripts/exports.mjs'
import { type PackedProject, packAndInstall } from './support/packed.ts'
import { root } from './support/sources.ts'

interface Manifest {
  exports: Record<string, string | Record<string, string | null>>
  bin: Record<string, string>
  dependencies: Record<string, string>
  optionalDependencies: Record<string, string>
}

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest
const subpaths = Object.keys(manifest.exports).filter((name) => name !== './package.json')
const specifiers = subpaths.map((subpath) => join('graftlm', subpath).replaceAll('\\', '/'))
/** What Node resolves: graftlm/web is for browsers. */
const inNode = specifiers.filter((name) => !name.startsWith('graftlm/web'))
const written = (path: string): boolean => existsSync(join(root, path))

let packed: PackedProject
beforeAll(() => {
  packed = packAndInstall()
})
afterAll(() => packed?.remove())

/** What a program said on stderr, without the one line about a missing native runtime. */
const withoutHint = (stderr: string): string =>
  stderr.replace(/^graft: onnxruntime-node is not installed; [^\n]*--ignore-scripts[^\n]*\n/, '')

describe('the package', () => {
  it('exports one subpath for each folder with an index.ts', () => {
    expect(manifest.exports, 'run: npm run build -- --exports').toEqual(exportsOf(root))
  })
  it('holds only the build, the released experts, licences and the readme', () => {
    const others = [...packed.files.keys()].filter(
      (path) =>
        !/^(dist\/.+|experts\/(library\.pub\.pem|[a-z-]+\/([a-z0-9-]+\/)?(adapter_(config|model)(\.int[48])?|expert)\.(json|safetensors|sig))|examples\/data\/snips_json\/.+|schemas\/(training|expert|router)\.schema\.json|cluster\/(graft_(process|ray|serve)\.py|kuberay\/[a-z-]+\.yaml)|(LICENSE|NOTICE|README\.md|CHANGELOG\.md|package\.json))$/.test(
          path,
        ),
    )
    expect(others).toEqual([])
    expect(
      [...packed.files.keys()].filter((path) =>
        /\.test\.|\.contract\.|fixture|testing\./.test(path),
      ),
    ).toEqual([])
    expect([...packed.files.keys()]).toEqual(
      expect.arrayContaining(['LICENSE', 'NOTICE', 'package.json']),
    )
  })
  it('names exact versions of what it depends on, and the lock names no registry', () => {
    const { dependencies, optionalDependencies } = manifest
    const versions = Object.entries({ ...dependencies, ...optionalDependencies })
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([])
    const lock = readFileSync(join(root, 'package-lock.json'), 'utf8')
    expect(lock.match(/"resolved": "[^"]*"/g) ?? []).toEqual([])
  })
  it('takes less than 9 MB unpacked, and 12 MB of experts', () => {
    const sizeOf = (isCounted: (path: string) => boolean): number =>
      [...packed.files].reduce((sum, [path, size]) => (isCounted(path) ? sum + size : sum), 0)
    const isExpert = (path: string): boolean => path.startsWith('experts/')
    const [ownBytes, expertBytes] = [sizeOf((path) => !isExpert(path)), sizeOf(isExpert)]
    console.log(
      `packed ${(packed.tarball.length / 1e6).toFixed(2)} MB, unpacked ${(ownBytes / 1e6).toFixed(2)} MB and ${(expertBytes / 1e6).toFixed(2)} MB of experts, ${packed.files.size} files`,
    )
    expect(ownBytes).toBeLessThan(9e6)
    expect(expertBytes).toBeGreaterThan(0)
    expect(expertBytes).toBeLessThan(12e6)
  })
  it('has every file that its exports and commands name', () => {
    const conditions = Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [target] : Object.values(target),
    )
    const commands = written('src/cli/main.ts') ? Object.values(manifest.bin) : []
    const named = [...conditions, ...commands]
      .filter((target) => target !== null)
      .map((target) => target.replace(/^\.\//, ''))
    expect(named.filter((path) => !packed.files.has(path))).toEqual([])
  })
  it('carries the embedded model whole', ({ skip }) => {
    if (!written('src/catalogue/models/stories260k'))
      skip('the embedded model is not in the sources yet')
    expect(packed.files.get('dist/catalogue/models/stories260k/model.safetensors')).toBe(1_044_992)
    expect(packed.files.has('dist/catalogue/models/stories260k/SOURCE.md')).toBe(true)
  })
  it('is clean by publint, suggestions included', async ({ skip }) => {
    if (!written('src/cli/main.ts'))
      skip('src/cli/main.ts is not written yet, and package.json names the command')
    const { messages, pkg } = await publint({
      pack: { tarball: packed.tarball.buffer },
      strict: true,
    })
    const said = messages.map((message) =>
      formatMessage(message, pkg as Record<string, unknown>, { color: false }),
    )
    expect(said).toEqual([])
  })
})

describe('from JavaScript', () => {
  it('every subpath can be imported and exports something', () => {
    const program = `for (const name of ${JSON.stringify(inNode)}) console.log(name, Object.keys(await import(name)).length)`
    const { stdout, stderr } = packed.run(program)
    expect(stderr).toBe('')
    const counts = stdout
      .trim()
      .split('\n')
      .filter(Boolean)
      .map((line) => line.split(' '))
    expect(counts.map(([name]) => name)).toEqual(inNode)
    expect(counts.filter(([, count]) => Number(count) === 0)).toEqual([])
  })
  it('the main entry has at most 25 names, the errors among them', ({ skip }) => {
    if (!subpaths.includes('.')) skip('src/index.ts is not written yet')
    const { stdout, stderr } = packed.run(
      "console.log(JSON.stringify(Object.keys(await import('graftlm'))))",
    )
    expect(stderr).toBe('')
    const names = JSON.parse(stdout) as string[]
    expect(names.length).toBeLessThanOrEqual(25)
    expect(names).toContain('GraftError')
  })
  it('the embedded model is loaded and computes', ({ skip }) => {
    if (!subpaths.includes('./node')) skip('src/node/index.ts is not written yet')
    const { stdout, stderr } = packed.run(`
      import { loadModel } from 'graftlm/node'
      const model = await loadModel('stories260k')
      const { shape, data } = await model.logits([[1, 403, 407]])
      console.log(JSON.stringify({ shape, finite: data.every(Number.isFinite) }))
      process.exit(0)`)
    expect(withoutHint(stderr)).toBe('')
    expect(JSON.parse(stdout)).toEqual({ shape: [1, 3, 512], finite: true })
  })
  it('an engine answers from a thread and from a process', ({ skip }) => {
    if (!written('src/node/engine/engine-module.ts')) return skip('no workers yet')
    const { status, stdout, stderr } = packed.run(`
      import { openEngineWorker } from 'graftlm/node'
      for (const isolation of ['thread', 'process']) {
        const engine = await openEngineWorker({ model: 'stories260k', isolation, threads: 1 })
        for await (const event of engine.generate({ prompt: 'Lily', maxTokens: 4 }))
          if (event.type === 'generation-end') console.log(isolation, event.ids.length)
        await engine.dispose()
      }`)
    // Each worker says so where the native runtime is missing.
    expect(stderr.split('\n').filter((line) => withoutHint(`${line}\n`).trim() !== '')).toEqual([])
    expect([status, stdout]).toEqual([0, 'thread 4\nprocess 4\n'])
  })
  it('graftlm/node does not resolve under browser conditions', ({ skip }) => {
    if (!subpaths.includes('./node')) skip('src/node/index.ts is not written yet')
    const { stdout } = packed.run(
      "try { await import('graftlm/node') } catch (error) { console.log(error.code) }",
      '--conditions=browser',
    )
    expect(stdout.trim()).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED')
  })
  it('graftlm/web does not resolve in Node, and is whole for browsers', () => {
    const program = "try { await import('graftlm/web') } catch (error) { console.log(error.code) }"
    expect(packed.run(program).stdout.trim()).toBe('ERR_PACKAGE_PATH_NOT_EXPORTED')
    const file = join(packed.folder, 'node_modules/graftlm/dist/web/index.js')
    const { stdout, stderr } = packed.run(
      `console.log(Object.keys(await import(${JSON.stringify(file)})).join(' '))`,
    )
    expect(stderr).toBe('')
    expect(stdout).toMatch(/\bcreateLocalStorageStore\b.*\bopenIndexedDbStore\b/)
  })
  it('the command graft starts', ({ skip }) => {
    if (!written('src/cli/main.ts')) skip('src/cli/main.ts is not written yet')
    const command = join(packed.folder, 'node_modules', 'graftlm', manifest.bin['graft']!)
    expect(readFileSync(command, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/)
    const { status, stdout } = spawnSync(process.execPath, [command, '--help'], {
      encoding: 'utf8',
    })
    expect(status).toBe(0)
    expect(stdout).toContain('quickstart')
  })
})

describe('from npm, without settings of ours', () => {
  const megabytes = (path: string): number => {
    const { stdout } = spawnSync('du', ['-sk', path], { encoding: 'utf8' })
    return Number(stdout.split('\t')[0]) / 1024
  }
  it('is installed with a runtime', ({ skip }) => {
    if (packed.unreachable) skip(`npm cannot install: ${packed.unreachable}`)
    const modules = join(packed.folder, 'node_modules')
    expect(existsSync(join(modules, 'onnxruntime-web'))).toBe(true)
    expect(existsSync(join(packed.folder, '.npmrc'))).toBe(false)
    const native = existsSync(join(modules, 'onnxruntime-node'))
    console.log(
      `node_modules: ${megabytes(modules).toFixed(0)} MB, ${native ? 'onnxruntime-node with it' : 'without onnxruntime-node, whose install script failed'}`,
    )
  })
  it('answers to npx graft run, in text and in JSON', ({ skip }) => {
    if (packed.unreachable) skip(`npm cannot install: ${packed.unreachable}`)
    const words = ['graft', 'run', 'Once upon a time', '--max-tokens', '12']
    const text = packed.npx(...words)
    expect(text.stderr).toContain('Answering with the embedded model stories260k')
    expect([text.status, text.stdout]).toEqual([0, ', there was a little girl named Lily. She\n'])
    const json = packed.npx(...words, '--json')
    expect(json.status).toBe(0)
    expect(JSON.parse(json.stdout)).toMatchObject({
      text: ', there was a little girl named Lily. She',
    })
  })
  it('has the released experts, which are found by name', () => {
    const { stdout, stderr } = packed.run(`
      const { findNamedExpert } = await import('./node_modules/graftlm/dist/node/library/released.js')
      const { loadAdapter } = await import('graftlm/node')
      console.log((await loadAdapter(await findNamedExpert('sql', null))).kind)`)
    expect([stdout, withoutHint(stderr)]).toEqual(['dora\n', ''])
  })
  it('reports what is missing in one line, once', ({ skip }) => {
    if (packed.unreachable) skip(`npm cannot install: ${packed.unreachable}`)
    const { stderr } = packed.run(`
      import { loadModel } from 'graftlm/node'
      for (let i = 0; i < 2; i++) await (await loadModel('stories260k')).dispose()`)
    const native = existsSync(join(packed.folder, 'node_modules', 'onnxruntime-node'))
    expect(stderr === '').toBe(native)
    expect(withoutHint(stderr)).toBe('')
  })
  it('runs on WebAssembly where that is asked for, and ends alone', () => {
    const { status, stdout, stderr } = packed.run(`
      process.env.GRAFT_BACKEND = 'wasm'
      const { loadModel } = await import('graftlm/node')
      const model = await loadModel('stories260k')
      console.log(model.backend.name, (await model.logits([[1, 403]])).shape.join())`)
    expect([status, stdout, stderr]).toEqual([0, 'onnxruntime-web (WebAssembly) 1,2,512\n', ''])
  })
})

describe('the import of graftlm', () => {
  /** Median milliseconds of a process that runs `source`. */
  const processMs = (source: string): number => {
    const times = Array.from({ length: 7 }, () => {
      const start = performance.now()
      packed.run(source)
      return performance.now() - start
    })
    return times.toSorted((a, b) => a - b)[3]!
  }
  const recorder = `
    import { registerHooks } from 'node:module'
    const urls = new Set()
    registerHooks({ load: (url, context, next) => (urls.add(url), next(url, context)) })
    process.on('exit', () => console.log(JSON.stringify([...urls])))`

  it('loads none of the heavy libraries, and nothing of Node', ({ skip }) => {
    if (!subpaths.includes('.')) skip('src/index.ts is not written yet')
    writeFileSync(join(packed.folder, 'recorder.js'), recorder)
    const { stdout, stderr } = packed.run(
      "import 'graftlm'",
      '--import',
      join(packed.folder, 'recorder.js'),
    )
    expect(stderr).toBe('')
    const urls = JSON.parse(stdout) as string[]
    expect(urls.some((url) => url.includes('/graftlm/dist/index.js'))).toBe(true)
    const heavy =
      /onnxruntime|\/zod\/|@huggingface\/hub|xgrammar|\/graftlm\/dist\/(node|cli|web)\/|^node:/
    expect(urls.filter((url) => heavy.test(url))).toEqual([])
    // A time is no test; it is printed for the reader. The aim is 50 ms.
    const difference = processMs("import 'graftlm'") - processMs('')
    console.log(
      `import 'graftlm': ${difference.toFixed(0)} ms more than an empty program, ${urls.length} modules`,
    )
  })
})

describe('from TypeScript', () => {
  const toProgram = (names: readonly string[]): string =>
    names
      .map(
        (name, i) =>
          `import * as m${i} from '${name}'\nexport const names${i}: string[] = Object.keys(m${i})\n`,
      )
      .join('')

  /** What the compiler says of a program of a user's, which has one deliberate error. */
  function compile(names: readonly string[], options: object): string[] {
    writeFileSync(
      join(packed.folder, 'consumer.ts'),
      `${toProgram(names)}export const wrong: string = ${names.length}\n`,
    )
    const compilerOptions = Object.assign({ target: 'es2024', strict: true, noEmit: true }, options)
    writeFileSync(
      join(packed.folder, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts'] }),
    )
    const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
    const { stdout } = spawnSync(
      process.execPath,
      [compiler, '-p', packed.folder, '--pretty', 'false'],
      { encoding: 'utf8' },
    )
    // Declarations of other packages are not ours to mend.
    return stdout.split('\n').filter((line) => /consumer\.ts|graftlm/.test(line))
  }

  const web = 'graftlm/web'
  it.each([
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ])('types resolve with module %s and moduleResolution %s', (module, moduleResolution) => {
    const names = specifiers.filter((name) => name !== web)
    const lib = ['es2024', 'esnext']
    const complaints = compile(names, { module, moduleResolution, lib, types: ['node'] })
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toContain("Type 'number' is not assignable to type 'string'")
  })

  it('types of the entry for browsers resolve with the library of browsers', ({ skip }) => {
    if (!specifiers.includes(web)) skip('src/web/index.ts is not written yet')
    const lib = ['es2024', 'esnext', 'dom', 'dom.iterable', 'dom.asynciterable']
    const complaints = compile([web], {
      module: 'esnext',
      moduleResolution: 'bundler',
      lib,
      types: [],
    })
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toContain("Type 'number' is not assignable to type 'string'")
  })
})
