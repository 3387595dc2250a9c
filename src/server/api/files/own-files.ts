// Which files a request may use: those of its own key; all of them with a key of the scope admin.

import { RequestError } from '../../request-error.ts'
import type { ServerContext } from '../../route.ts'
import type { FileStore, StoredFile } from './file-store.ts'

/** The name under which a request's files and jobs are stored; '': the server has no keys. */
export const getOwner = (context: ServerContext): string => context.get('tenant') ?? ''

/** Whether a request has a scope; always true if no key is needed. */
export const isAllowed = (context: ServerContext, scope: 'train' | 'admin'): boolean => {
  const scopes = context.get('scopes')
  return scopes === undefined || scopes.includes(scope) || scopes.includes('admin')
}

/** Whether a request may see what is stored under a name. */
export const isShown = (context: ServerContext, { owner }: { readonly owner: string }): boolean =>
  owner === getOwner(context) || isAllowed(context, 'admin')

/** The file with this id. Throws RequestError of status 404 also if it belongs to another key. */
export async function getOwnFile(
  store: FileStore,
  context: ServerContext,
  id: string,
  param?: string,
): Promise<StoredFile> {
  const file = await store.find(id)
  if (file && isShown(context, file)) return file
  throw new RequestError(`There is no file ${JSON.stringify(id.slice(0, 100))}.`, {
    status: 404,
    param,
    code: 'file_not_found',
  })
}
