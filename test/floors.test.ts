// Holds the sources against the floor plan: who may import whom, no cycles, platforms at the edges.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  cycles,
  floorComplaints,
  packageComplaints,
  roomComplaints,
  rooms,
} from './support/floors.ts'
import { isTestCode, parseSource, readSources, root } from './support/sources.ts'

const sources = readSources('src/**/*.ts').filter((file) => !isTestCode(file.path))
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
  string,
  Record<string, string>
>
const declared = new Set(
  Object.keys({
    ...manifest['dependencies'],
    ...manifest['peerDependencies'],
    ...manifest['optionalDependencies'],
  }),
)

describe('the sources', () => {
  it('are found and parsed', () => {
    expect(sources.length).toBeGreaterThan(10)
    expect(sources.some((file) => file.imports.length > 0 && file.functions.length > 0)).toBe(true)
  })
  it('import only from lower floors or their own folder', () => {
    expect(floorComplaints(sources, isTestCode)).toEqual([])
  })
  it('import only from lower rooms inside a wing, or stay in their room', () => {
    expect(roomComplaints(sources)).toEqual([])
  })
  it('fill every room of the lists, each listed once', () => {
    const inside = (wing: string, room: string): boolean =>
      sources.some(({ path }) => {
        const rest = path.startsWith(`src/${wing}/`) ? path.slice(`src/${wing}/`.length) : '//'
        return room === '' ? !rest.includes('/') : rest === room || rest.startsWith(`${room}/`)
      })
    const wrong = Object.entries(rooms).flatMap(([wing, plan]) =>
      plan
        .filter((room, i) => plan.indexOf(room) !== i || !inside(wing, room))
        .map((room) => `${wing}: '${room}'`),
    )
    expect(wrong).toEqual([])
  })
  it('form no import cycle, of values or types', () => {
    expect(cycles(sources)).toEqual([])
  })
  it('take node:* and ONNX Runtime only at the edges, and only declared packages', () => {
    expect(packageComplaints(sources, declared)).toEqual([])
  })
  it('name each import by its file, ending in .ts', () => {
    const wrong = sources.flatMap((file) =>
      file.imports
        .filter(({ specifier }) => specifier.startsWith('.') && !specifier.endsWith('.ts'))
        .map(({ specifier, line }) => `${file.path}:${line}: ${specifier} does not end in .ts`),
    )
    expect(wrong).toEqual([])
  })
})

describe('the rules refuse', () => {
  const complaints = (path: string, text: string): string[] =>
    floorComplaints([parseSource(path, text)], isTestCode)

  it('an import from a higher floor, with file and line', () => {
    const [complaint, ...more] = complaints(
      'src/formats/x.ts',
      "// x\nimport { a } from '../graph/a.ts'\n",
    )
    expect(more).toEqual([])
    expect(complaint).toContain('src/formats/x.ts:2: ')
    expect(complaint).toContain('src/graph/a.ts (floor 3)')
  })
  it('an import from another folder of the same floor, also of a type, also a dynamic one', () => {
    expect(complaints('src/merge/x.ts', "import type { A } from '../train/a.ts'")).toHaveLength(1)
    expect(complaints('src/merge/x.ts', "export * from '../train/a.ts'")).toHaveLength(1)
    expect(complaints('src/merge/x.ts', "const a = import('../train/a.ts')")).toHaveLength(1)
    expect(complaints('src/merge/x.ts', "type A = import('../train/a.ts').A")).toHaveLength(1)
  })
  it('an import from a higher room of a wing, of its entry, and a room without a place', () => {
    const plans = { learn: ['user.ts', 'tiers', 'tiers/deep', '', 'users'] }
    const inLearn = (path: string, text: string): string[] =>
      roomComplaints([parseSource(path, text)], plans)
    expect(inLearn('src/learn/tiers/a.ts', "\nimport '../users/b.ts'")).toEqual([
      'src/learn/tiers/a.ts:2: tiers/ imports src/learn/users/b.ts; in src/learn users/ is above tiers/ (see rooms in test/support/floors.ts)',
    ])
    expect(inLearn('src/learn/tiers/a.ts', "import '../learner.ts'")).toHaveLength(1)
    expect(inLearn('src/learn/tiers/a.ts', "import './deep/b.ts'")).toHaveLength(1)
    expect(inLearn('src/learn/user.ts', "import type { A } from './learner.ts'")).toHaveLength(1)
    expect(inLearn('src/learn/users/a.ts', "import '../index.ts'")).toHaveLength(1)
    expect(inLearn('src/learn/new/a.ts', '')).toHaveLength(1)
    expect(inLearn('src/learn/tiers/a.ts', "import '../user.ts'\nimport './b.ts'")).toEqual([])
    expect(inLearn('src/learn/users/a.ts', "import '../learner.ts'")).toEqual([])
    expect(inLearn('src/learn/index.ts', "export * from './users/a.ts'")).toEqual([])
    expect(inLearn('src/train/a.ts', "import './data/b.ts'")).toEqual([])
  })
  it('the main entry reaching into a platform, and anybody reaching into the main entry', () => {
    expect(complaints('src/index.ts', "export * from './node/index.ts'")).toHaveLength(1)
    expect(complaints('src/runtime/x.ts', "export * from '../index.ts'")).toHaveLength(1)
    expect(complaints('src/node/index.ts', "export * from '../index.ts'")).toEqual([])
  })
  it('test code and folders without a floor', () => {
    expect(complaints('src/graph/x.ts', "import './x.contract.ts'")).toHaveLength(1)
    expect(complaints('src/graph/x.ts', "import '../../test/support/a.ts'")).toHaveLength(1)
    expect(complaints('src/novel/x.ts', '')).toHaveLength(1)
  })
  it('platform packages in core, and undeclared packages anywhere', () => {
    const check = (path: string, text: string): string[] =>
      packageComplaints([parseSource(path, text)], new Set(['onnxruntime-node']))
    expect(check('src/graph/x.ts', "import { readFile } from 'node:fs/promises'")).toHaveLength(1)
    expect(
      check('src/compute/x.ts', "import { InferenceSession } from 'onnxruntime-node'"),
    ).toHaveLength(1)
    expect(
      check('src/compute/x.ts', "import { type InferenceSession } from 'onnxruntime-node'"),
    ).toEqual([])
    expect(
      check(
        'src/node/x.ts',
        "import { InferenceSession } from 'onnxruntime-node'\nimport 'node:fs'",
      ),
    ).toEqual([])
    expect(check('src/node/x.ts', "import 'left-pad/x'")).toHaveLength(1)
  })
  it('a cycle, named by its files', () => {
    const files = [
      parseSource('src/graph/a.ts', "import type { B } from './b.ts'"),
      parseSource('src/graph/b.ts', "import { c } from './c.ts'"),
      parseSource('src/graph/c.ts', "import { a } from './a.ts'"),
    ]
    expect(cycles(files)).toEqual([
      'src/graph/a.ts → src/graph/b.ts → src/graph/c.ts → src/graph/a.ts',
    ])
    expect(cycles(files.slice(0, 2))).toEqual([])
  })
})

describe('the compiler', () => {
  it('knows neither Node nor the DOM in the core project, but does know what both share', () => {
    const folder = mkdtempSync(join(tmpdir(), 'graft-core-'))
    try {
      writeFileSync(join(folder, 'package.json'), '{ "type": "module" }')
      const file = join(folder, 'probe.ts')
      writeFileSync(
        file,
        "import 'node:fs'\nexport const a = process\nexport const b = Buffer\nexport const c = document\nexport const d = new Float16Array(1)\n" +
          "export const e = new TextEncoder().encode('x')\nexport const f = fetch\nexport const g = structuredClone\n",
      )
      const config = {
        extends: join(root, 'tsconfig.core.json'),
        include: [file, join(root, 'src/base/globals.d.ts')],
        exclude: [],
      }
      writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
      const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
      const { stdout } = spawnSync(
        process.execPath,
        [compiler, '-p', folder, '--pretty', 'false'],
        { encoding: 'utf8' },
      )
      expect([...stdout.matchAll(/probe\.ts\((\d+),/g)].map((match) => Number(match[1]))).toEqual([
        1, 2, 3, 4,
      ])
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
