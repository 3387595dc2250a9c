// createRouter of graftlm/node: a router's file and a folder of experts may be paths.

import { createRouter as create, type CreateRouterOptions } from '../../route/create-router.ts'
import type { RoutedExpert, Router } from '../../route/router.ts'
import type { RouterFile } from '../../route/router-file.ts'

type Replace<Of, By> = Omit<Of, keyof By> & By

export type CreateRouterFilesOptions = CreateRouterOptions extends infer Each
  ? Each extends CreateRouterOptions
    ? Replace<
        Each,
        (Each extends { readonly file: RouterFile }
          ? { readonly file: RouterFile | string }
          : unknown) & {
          /** The experts, or a folder of their folders. */
          readonly experts?: readonly RoutedExpert[] | string | undefined
        }
      >
    : never
  : never

/** As createRouter of graftlm/route, with paths. Throws NotFoundError too. */
export async function createRouter(options: CreateRouterFilesOptions): Promise<Router> {
  const given = Object.assign({}, options) as Record<string, unknown>
  const { file, experts } = given
  if (typeof file === 'string') {
    const { readRouterFile } = await import('./router-path.ts')
    given['file'] = (await readRouterFile(file)).file
  }
  if (typeof experts === 'string') {
    const { listRoutedExperts } = await import('./list-experts.ts')
    given['experts'] = await listRoutedExperts(experts)
  }
  return create(given as unknown as CreateRouterOptions)
}
