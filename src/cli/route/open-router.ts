// Opens a router of a file for commands: with its base where it reads prompts by one.

import { listRoutedExperts } from '../../node/route/list-experts.ts'
import { readRouterFile } from '../../node/route/router-path.ts'
import { createRouter } from '../../route/create-router.ts'
import type { RouterFile } from '../../route/router-file.ts'
import type { Router } from '../../route/router.ts'
import { openModel } from '../shared/open-model.ts'
import type { Terminal } from '../ui/terminal.ts'

export interface RouterValues {
  readonly model?: string | undefined
  readonly experts?: string | undefined
  readonly threads?: number | undefined
  readonly weights?: 'file' | 'f32' | 'q4' | 'q8' | undefined
}

export interface OpenedRouter {
  readonly router: Router
  readonly file: RouterFile
  readonly sizeBytes: number
  close(): Promise<void>
}

/** Whether prompts are read by the base, in it or in a part of it. */
export function needsModel({ embedder, state, kind }: RouterFile): boolean {
  if (embedder !== undefined || kind === 'arrow' || kind === 'classifier') return true
  const {
    stages = [],
    top,
    router,
  } = state as {
    readonly router?: RouterFile
    readonly stages?: readonly { readonly router: RouterFile }[]
    readonly top?: RouterFile
  }
  const inner = [...stages.map((stage) => stage.router), top, router]
  return inner.some((file) => file !== undefined && needsModel(file))
}

/** Throws NotFoundError, FormatError, MismatchError for other experts or another base. */
export async function openRouter(
  path: string,
  values: RouterValues,
  terminal: Terminal,
): Promise<OpenedRouter> {
  const { file, sizeBytes } = await readRouterFile(path)
  const experts = values.experts === undefined ? undefined : await listRoutedExperts(values.experts)
  const source = values.model ?? (needsModel(file) ? file.base?.id : undefined)
  const model = source === undefined ? undefined : await openModel(source, values, terminal)
  try {
    const router = await createRouter({
      file,
      ...(model && { model }),
      ...(experts && { experts }),
    })
    return { router, file, sizeBytes, close: async () => model?.dispose() }
  } catch (error) {
    await model?.dispose()
    throw error
  }
}
