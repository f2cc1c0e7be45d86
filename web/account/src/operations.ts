export const REQUEST_RESET = `mutation RequestPasswordReset($input: RequestPasswordResetInput!) {
  requestPasswordReset(input: $input) {
    __typename
    ... on UserError { message }
  }
}`;

export const RESET = `mutation ResetPassword($input: ResetPasswordInput!) {
  resetPassword(input: $input) {
    __typename
    ... on ResetPasswordPayload { email }
    ... on UserError { message }
  }
}`;

export const ACCEPT = `mutation AcceptInvitation($input: AcceptInvitationInput!) {
  acceptInvitation(input: $input) {
    __typename
    ... on AcceptInvitationPayload { session { accessToken user { email } } }
    ... on UserError { message }
  }
}`;

export const VERIFY = `mutation VerifyEmail($input: VerifyEmailInput!) {
  verifyEmail(input: $input) {
    __typename
    ... on VerifyEmailPayload { email }
    ... on UserError { message }
  }
}`;

export const SIGN_OUT = `mutation SignOut {
  signOut { signedOut }
}`;
