// The address of a registry whose index is in Postgres, with the folder of its files in it.

export const isPostgresAddress = (place: string): boolean => /^postgres(ql)?:\/\//i.test(place)

/** The address without Graft's own part `content`, and that part. */
export function splitPostgresAddress(address: string): {
  readonly location: string
  readonly content: string | undefined
} {
  const [start, query = ''] = address.split('?', 2) as [string, string?]
  const parts = new URLSearchParams(query)
  const content = parts.get('content') ?? undefined
  parts.delete('content')
  const left = parts.toString().replaceAll('+', '%20')
  return { location: left === '' ? start : `${start}?${left}`, content }
}
