// Which files a request may see: those of its own key, all of them for a key with the scope admin.

import { RequestError } from '../../request-error.ts'
import type { ServerContext } from '../../route.ts'
import type { FileStore, StoredFile } from './file-store.ts'

/** The name under which a request's files and jobs are kept; '': there are no keys. */
export const getOwner = (context: ServerContext): string => context.get('tenant') ?? ''

/** Whether a request may do what needs a scope: always where no key is needed. */
export const isAllowed = (context: ServerContext, scope: 'train' | 'admin'): boolean => {
  const scopes = context.get('scopes')
  return scopes === undefined || scopes.includes(scope) || scopes.includes('admin')
}

/** Whether what is kept under a name is shown to a request. */
export const isShown = (context: ServerContext, { owner }: { readonly owner: string }): boolean =>
  owner === getOwner(context) || isAllowed(context, 'admin')

/** The file of an id. Throws RequestError of status 404 also for one of another key. */
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
