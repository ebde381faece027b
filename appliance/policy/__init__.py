"""Who may have which certificate: the policy document, its checks, and decisions. Pure, all of it.

``document`` says what a policy is and parses one; ``check`` refuses what dangles or can never hold;
``evaluate`` decides one request, by the ``terms`` of each grant and its ``opening``; ``explain`` says why,
and ``plan`` what another policy would change; ``roles`` says who may order what of the appliance itself.
"""
