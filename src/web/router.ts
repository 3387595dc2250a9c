// createRouter in a browser: a router's file may be a URL, a File or in OPFS.

import { FormatError } from '../base/errors.ts'
import { createRouter as create, type CreateRouterOptions } from '../route/create-router.ts'
import type { Router } from '../route/router.ts'
import type { RouterFile } from '../route/router-file.ts'
import { readTextFile } from './sources/read-file.ts'

type Replace<Of, By> = Omit<Of, keyof By> & By

/** The file itself, or where it is: a URL, a File, `opfs:…`. */
type RouterSource = RouterFile | string | URL | Blob

export type CreateRouterWebOptions = CreateRouterOptions extends infer Each
  ? Each extends { readonly file: RouterFile }
    ? Replace<Each, { readonly file: RouterSource }>
    : Each
  : never

/** As createRouter of graftlm/route, with a file by URL, File or `opfs:…`. */
export async function createRouter(options: CreateRouterWebOptions): Promise<Router> {
  const given = Object.assign({}, options) as Record<string, unknown>
  const { file } = given
  if (typeof file === 'string' || file instanceof URL || file instanceof Blob) {
    const { name, text } = await readTextFile(file)
    try {
      given['file'] = JSON.parse(text)
    } catch (cause) {
      throw new FormatError(`${name}: is not JSON, expected the file of a router.`, { cause })
    }
  }
  return create(given as unknown as CreateRouterOptions)
}
